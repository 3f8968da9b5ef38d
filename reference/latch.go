package reference

import (
	"cmp"
	"slices"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/cache"
)

// latch holds the controllers' handlers back while changes are on their way into the caches, so that they are called one after
// the other by the root goroutine when all of them have arrived. How much of several changes of one instant a worker finds would
// otherwise be a race.
type latch struct {
	mutex  sync.Mutex
	closed bool
	held   []heldCall
}

// heldCall is one that waits, with what it is about.
type heldCall struct {
	object any
	call   func()
}

func (l *latch) close() {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	l.closed = true
}

// openInitial calls what was held for the first lists: the Jobs in order of creation, then the pods. Informers get them from Go maps.
func (l *latch) openInitial() {
	l.mutex.Lock()
	slices.SortStableFunc(l.held, func(a, b heldCall) int { return cmp.Compare(uid(a.object), uid(b.object)) })
	l.mutex.Unlock()
	l.open()
}

// openChanges calls what was held for changes: those of pods, then those of Jobs, each in the order in which they happened. Up to 1.32 an
// informer that is behind hands on all changes of one object before those of the next, or not, as its goroutines happen to run.
func (l *latch) openChanges() {
	l.mutex.Lock()
	slices.SortStableFunc(l.held, func(a, b heldCall) int {
		return cmp.Or(cmp.Compare(a.rank(), b.rank()), cmp.Compare(resourceVersion(a.object), resourceVersion(b.object)))
	})
	l.mutex.Unlock()
	l.open()
}

// rank is smaller for pods.
func (h heldCall) rank() int {
	if _, isPod := h.object.(*corev1.Pod); isPod {
		return 0
	}
	return 1
}

// open calls what was held. Workers that this wakes run when the caller waits.
func (l *latch) open() {
	l.mutex.Lock()
	held := l.held
	l.held, l.closed = nil, false
	l.mutex.Unlock()
	for _, h := range held {
		h.call()
	}
}

func (l *latch) call(object any, f func()) {
	l.mutex.Lock()
	if l.closed {
		l.held = append(l.held, heldCall{object, f})
		l.mutex.Unlock()
		return
	}
	l.mutex.Unlock()
	f()
}

// latchedHandler is a controller's handler behind the latch.
type latchedHandler struct {
	latch *latch
	inner cache.ResourceEventHandler
}

func (h latchedHandler) OnAdd(obj any, isInInitialList bool) {
	h.latch.call(obj, func() { h.inner.OnAdd(obj, isInInitialList) })
}

func (h latchedHandler) OnUpdate(before, after any) {
	h.latch.call(after, func() { h.inner.OnUpdate(before, after) })
}

func (h latchedHandler) OnDelete(obj any) {
	h.latch.call(obj, func() { h.inner.OnDelete(obj) })
}
