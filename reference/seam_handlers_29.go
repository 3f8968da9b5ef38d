//go:build since_1_29 && !since_1_30

package reference

import (
	"runtime"
	"sync/atomic"
	"testing/synctest"

	"github.com/go-logr/logr"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/record"
	"k8s.io/klog/v2"
)

// In 1.29 the two goroutines that handle the Events of a recorder, one by writing them to the log and one by posting them, spin when the recorder is
// shut down without a context. So they are ended before, from inside, by one last Event that nobody sees.

var handlersEnd atomic.Bool

func endEventHandlers(recorder record.EventRecorder) {
	handlersEnd.Store(true)
	recorder.Event(&batchv1.Job{}, corev1.EventTypeNormal, "End", "End")
	synctest.Wait()
	handlersEnd.Store(false)
}

// lastEvent is called in the goroutine that posts Events, when its process has ended.
func lastEvent() {
	if handlersEnd.Load() {
		runtime.Goexit()
	}
}

func backgroundLogger() klog.Logger { return logr.New(lastLine{}) }

// lastLine ends the goroutine that writes Events to the log.
type lastLine struct{}

func (lastLine) Init(logr.RuntimeInfo)            {}
func (lastLine) Enabled(int) bool                 { return handlersEnd.Load() }
func (lastLine) Error(error, string, ...any)      {}
func (l lastLine) WithValues(...any) logr.LogSink { return l }
func (l lastLine) WithName(string) logr.LogSink   { return l }
func (lastLine) Info(_ int, message string, _ ...any) {
	if message == "Event occurred" {
		runtime.Goexit()
	}
}
