//go:build since_1_31

package reference

import "k8s.io/kubernetes/pkg/controller/ttlafterfinished"

// shutDownRecorder has nothing to do: the recorder ends with the controller's context.
func shutDownRecorder(*ttlafterfinished.Controller) {}
