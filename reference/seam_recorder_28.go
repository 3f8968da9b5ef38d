//go:build !since_1_31

package reference

import (
	"reflect"
	"unsafe"

	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/record"
	"k8s.io/kubernetes/pkg/controller/ttlafterfinished"
)

// shutDownRecorder ends the goroutines of the recorder that these versions' controller forgets about, or, in 1.30, that its context forgets to
// end. The controller keeps its recorder to itself.
func shutDownRecorder(controller *ttlafterfinished.Controller) {
	field := reflect.ValueOf(controller).Elem().FieldByName("recorder")
	value := reflect.NewAt(field.Type(), unsafe.Pointer(field.UnsafeAddr())).Elem()
	if recorder, ok := value.Interface().(record.EventRecorder); ok {
		endEventHandlers(recorder)
	}
	if broadcaster, ok := value.Elem().Elem().FieldByName("Broadcaster").Interface().(*watch.Broadcaster); ok {
		broadcaster.Shutdown()
	}
}
