//go:build !since_1_29 || since_1_30

package reference

import (
	"k8s.io/client-go/tools/record"
	"k8s.io/klog/v2"
)

// endEventHandlers has nothing to do: they end with the recorder.
func endEventHandlers(record.EventRecorder) {}

func lastEvent() {}

func backgroundLogger() klog.Logger { return klog.Logger{} }
