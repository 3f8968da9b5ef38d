//go:build since_1_32

package unmeasured

import (
	_ "unsafe" // for go:linkname

	"k8s.io/client-go/util/workqueue"
)

//go:linkname provider k8s.io/client-go/util/workqueue.globalMetricsProvider
var provider workqueue.MetricsProvider

// initialProvider is client-go's own that provides nothing.
func initialProvider() workqueue.MetricsProvider { return provider }
