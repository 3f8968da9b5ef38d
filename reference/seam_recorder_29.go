//go:build since_1_29 && !since_1_30

package reference

import (
	"runtime"
	"sync/atomic"
	"testing/synctest"

	"github.com/go-logr/logr"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/record"
	"k8s.io/klog/v2"
	"k8s.io/kubernetes/pkg/controller/ttlafterfinished"
)

// In 1.29 nothing can end the recorder of the controller of ttlSecondsAfterFinished: two goroutines handle its Events, one writes them to the log
// and one posts them, and when the recorder is shut down, both spin. So they are ended from inside, by one last Event that nobody sees.

var recorderEnds atomic.Bool

func shutDownRecorder(controller *ttlafterfinished.Controller) {
	recorder := recorderOf(controller)
	recorderEnds.Store(true)
	if recorder, ok := recorder.Interface().(record.EventRecorder); ok {
		recorder.Event(&batchv1.Job{}, corev1.EventTypeNormal, "End", "End")
		synctest.Wait()
	}
	recorderEnds.Store(false)
	if broadcaster, ok := recorder.Elem().Elem().FieldByName("Broadcaster").Interface().(*watch.Broadcaster); ok {
		broadcaster.Shutdown()
	}
}

// lastEvent is called in the goroutine that posts Events, in a process that has ended.
func lastEvent() {
	if recorderEnds.Load() {
		runtime.Goexit()
	}
}

func backgroundLogger() klog.Logger { return logr.New(lastLine{}) }

// lastLine ends the goroutine that writes Events to the log.
type lastLine struct{}

func (lastLine) Init(logr.RuntimeInfo)            {}
func (lastLine) Enabled(int) bool                 { return recorderEnds.Load() }
func (lastLine) Error(error, string, ...any)      {}
func (l lastLine) WithValues(...any) logr.LogSink { return l }
func (l lastLine) WithName(string) logr.LogSink   { return l }
func (lastLine) Info(_ int, message string, _ ...any) {
	if message == "Event occurred" {
		runtime.Goexit()
	}
}
