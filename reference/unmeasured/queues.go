// Package unmeasured keeps the metrics of work queues off. With them, a goroutine per queue wakes up twice a second, and thousands of virtual
// seconds would be spent on numbers that nobody reads. client-go has none unless somebody provides for them, which the first to do so decides; here
// it is a package that the registry of pods imports. This one comes first and provides for none: of packages that could be initialized next, Go takes
// the one whose import path sorts first (the language promises it), and go.towtank.dev sorts before k8s.io.
package unmeasured

import "k8s.io/client-go/util/workqueue"

func init() { workqueue.SetProvider(initialProvider()) }
