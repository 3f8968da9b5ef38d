package reference

import (
	"cmp"
	"slices"
	"strconv"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	batchinformers "k8s.io/client-go/informers/batch/v1"
	coreinformers "k8s.io/client-go/informers/core/v1"
	batchlisters "k8s.io/client-go/listers/batch/v1"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
)

// Informers keep their objects in Go maps, so what the controllers list comes in an order that differs from run to run, and with it, say, which
// of several equal pods is deleted. The wrappers here choose one of the orders that are possible: that of creation.

type orderedPods struct {
	inner coreinformers.PodInformer
	latch *latch
}

func (o orderedPods) Informer() cache.SharedIndexInformer {
	return orderedInformer{o.inner.Informer(), o.latch}
}

func (o orderedPods) Lister() corelisters.PodLister {
	return corelisters.NewPodLister(o.Informer().GetIndexer())
}

type orderedJobs struct {
	inner batchinformers.JobInformer
	latch *latch
}

func (o orderedJobs) Informer() cache.SharedIndexInformer {
	return orderedInformer{o.inner.Informer(), o.latch}
}

func (o orderedJobs) Lister() batchlisters.JobLister {
	return batchlisters.NewJobLister(o.Informer().GetIndexer())
}

type orderedInformer struct {
	cache.SharedIndexInformer
	latch *latch
}

func (o orderedInformer) AddEventHandler(handler cache.ResourceEventHandler) (cache.ResourceEventHandlerRegistration, error) {
	return o.SharedIndexInformer.AddEventHandler(latchedHandler{o.latch, handler})
}

func (o orderedInformer) GetStore() cache.Store { return o.GetIndexer() }

func (o orderedInformer) GetIndexer() cache.Indexer {
	return orderedIndexer{o.SharedIndexInformer.GetIndexer()}
}

type orderedIndexer struct{ cache.Indexer }

func (o orderedIndexer) List() []any { return byCreation(o.Indexer.List()) }

func (o orderedIndexer) Index(name string, obj any) ([]any, error) {
	found, err := o.Indexer.Index(name, obj)
	return byCreation(found), err
}

func (o orderedIndexer) ByIndex(name, value string) ([]any, error) {
	found, err := o.Indexer.ByIndex(name, value)
	return byCreation(found), err
}

// byCreation sorts by uid, which counts the objects of a kind.
func byCreation(objects []any) []any {
	slices.SortFunc(objects, func(a, b any) int { return cmp.Compare(uid(a), uid(b)) })
	return objects
}

func uid(obj any) string {
	if o, ok := obj.(metav1.Object); ok {
		return string(o.GetUID())
	}
	return ""
}

// resourceVersion is the version of an object, which counts the changes of the store.
func resourceVersion(obj any) uint64 {
	if o, ok := obj.(metav1.Object); ok {
		version, _ := strconv.ParseUint(o.GetResourceVersion(), 10, 64)
		return version
	}
	return 0
}
