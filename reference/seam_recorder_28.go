//go:build !since_1_30

package reference

import (
	"reflect"
	"unsafe"

	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/kubernetes/pkg/controller/ttlafterfinished"
)

// shutDownRecorder ends the goroutines of the recorder that this version's controller forgets about.
func shutDownRecorder(controller *ttlafterfinished.Controller) {
	field := reflect.ValueOf(controller).Elem().FieldByName("recorder")
	recorder := reflect.NewAt(field.Type(), unsafe.Pointer(field.UnsafeAddr())).Elem().Elem().Elem()
	if broadcaster, ok := recorder.FieldByName("Broadcaster").Interface().(*watch.Broadcaster); ok {
		broadcaster.Shutdown()
	}
}
