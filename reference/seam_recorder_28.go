//go:build !since_1_29

package reference

import (
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/klog/v2"
	"k8s.io/kubernetes/pkg/controller/ttlafterfinished"
)

func backgroundLogger() klog.Logger { return klog.Logger{} }

// shutDownRecorder ends the goroutines of the recorder that this version's controller forgets about.
func shutDownRecorder(controller *ttlafterfinished.Controller) {
	if broadcaster, ok := recorderOf(controller).Elem().Elem().FieldByName("Broadcaster").Interface().(*watch.Broadcaster); ok {
		broadcaster.Shutdown()
	}
}

func lastEvent() {}
