//go:build !since_1_30

package reference

import (
	"reflect"
	"unsafe"

	"k8s.io/kubernetes/pkg/controller/ttlafterfinished"
)

// recorderOf is the controller's recorder, which it keeps to itself.
func recorderOf(controller *ttlafterfinished.Controller) reflect.Value {
	field := reflect.ValueOf(controller).Elem().FieldByName("recorder")
	return reflect.NewAt(field.Type(), unsafe.Pointer(field.UnsafeAddr())).Elem()
}
