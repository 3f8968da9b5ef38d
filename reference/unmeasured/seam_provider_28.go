//go:build !since_1_32

package unmeasured

import (
	"sync"
	_ "unsafe" // for go:linkname

	"k8s.io/client-go/util/workqueue"
)

//go:linkname factory k8s.io/client-go/util/workqueue.globalMetricsFactory
var factory struct {
	provider workqueue.MetricsProvider
	_        sync.Once
}

// initialProvider is client-go's own that provides nothing.
func initialProvider() workqueue.MetricsProvider { return factory.provider }
