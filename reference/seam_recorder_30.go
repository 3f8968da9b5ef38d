//go:build since_1_30

package reference

import (
	"k8s.io/klog/v2"
	"k8s.io/kubernetes/pkg/controller/ttlafterfinished"
)

func backgroundLogger() klog.Logger { return klog.Logger{} }

// shutDownRecorder has nothing to do: the recorder ends with the controller's context.
func shutDownRecorder(*ttlafterfinished.Controller) {}

func lastEvent() {}
