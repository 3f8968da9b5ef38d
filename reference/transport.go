package reference

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	genericregistry "k8s.io/apiserver/pkg/registry/generic/registry"

	"golang.org/x/time/rate"
)

// clientTransport is the network of one controller's client: every request becomes a pending call, and waits until the other
// side says what becomes of it.
//
// The client's own limit of requests per second is switched off, and a bucket of the same kind stands here instead. So requests of one instant
// take their tokens in a defined order; in the client it would be the order of goroutines.
type clientTransport struct {
	run        *run
	process    *process
	controller string
	// bucket is nil when there is no limit.
	bucket *rate.Limiter
}

// pending is a call under way.
type pending struct {
	id          int
	transport   *clientTransport
	method      string
	path        string
	contentType string
	body        []byte
	resource    string
	// job is the number of the Job that the call is about, or whose pod it is about; -1 when there is none.
	job int
	// order is the number of the pod that the call names, or the completion index of the one that it creates.
	order int

	// admitted says how long the call has to wait for its token.
	admitted chan time.Duration
	answers  chan answer
	outcome  *outcome
}

type answer struct {
	code      int
	mediaType string
	body      []byte
	err       error
}

var (
	errGone        = errors.New("the process has ended")
	errUnreachable = errors.New("the server could not be reached")
	errLost        = errors.New("the answer was lost")
)

// RoundTrip runs in the goroutines of the controllers.
func (c *clientTransport) RoundTrip(httpRequest *http.Request) (*http.Response, error) {
	body, err := readBody(httpRequest)
	if err != nil {
		return nil, err
	}
	p := &pending{
		transport: c, method: httpRequest.Method, path: httpRequest.URL.Path, contentType: httpRequest.Header.Get("Content-Type"), body: body,
		resource: resourceOf(httpRequest.URL.Path), job: -1, order: -1,
		admitted: make(chan time.Duration, 1), answers: make(chan answer, 1),
	}
	if c.process.isDead() {
		if p.resource == "events" {
			lastEvent()
			// A recorder that is told of an error tries again for minutes.
			return response(http.StatusCreated, runtime.ContentTypeJSON, p.body)
		}
		return nil, errGone
	}
	if err := c.waitForToken(p); err != nil {
		return nil, err
	}
	if p.resource == "events" {
		code, document := c.run.postEvent(p)
		return response(code, runtime.ContentTypeJSON, document)
	}
	c.run.mutex.Lock()
	c.run.ready = append(c.run.ready, p)
	c.run.mutex.Unlock()
	c.run.wakeUp()
	select {
	case a := <-p.answers:
		if a.err != nil {
			return nil, a.err
		}
		return response(a.code, a.mediaType, a.body)
	case <-c.process.dead:
		return nil, errGone
	case <-httpRequest.Context().Done():
		return nil, httpRequest.Context().Err()
	}
}

func (c *clientTransport) waitForToken(p *pending) error {
	if c.bucket == nil {
		return nil
	}
	c.run.mutex.Lock()
	c.run.arrivals = append(c.run.arrivals, p)
	c.run.mutex.Unlock()
	c.run.wakeUp()
	var delay time.Duration
	select {
	case delay = <-p.admitted:
	case <-c.process.dead:
		return errGone
	}
	if delay == 0 {
		return nil
	}
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-c.process.dead:
		return errGone
	}
}

func (r *run) wakeUp() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// admitArrivals hands out the tokens of this instant: Events first, because a controller records them before it goes on, then calls in
// the order of their report. It says whether there was anybody.
func (r *run) admitArrivals() bool {
	r.mutex.Lock()
	arrivals := r.arrivals
	r.arrivals = nil
	r.mutex.Unlock()
	r.sortArrivals(arrivals)
	now := time.Now()
	for _, p := range arrivals {
		delay := p.transport.bucket.ReserveN(now, 1).DelayFrom(now)
		p.admitted <- delay.Round(time.Microsecond)
	}
	return len(arrivals) > 0
}

func (r *run) sortArrivals(arrivals []*pending) {
	r.findOrder(arrivals)
	slices.SortStableFunc(arrivals, func(a, b *pending) int {
		if events := cmp.Compare(boolRank(b.resource == "events"), boolRank(a.resource == "events")); events != 0 {
			return events
		}
		return comparePending(a, b)
	})
}

func boolRank(b bool) int {
	if b {
		return 1
	}
	return 0
}

// sortReady puts calls into the order of their report.
func (r *run) sortReady(calls []*pending) {
	r.findOrder(calls)
	slices.SortStableFunc(calls, comparePending)
}

func comparePending(a, b *pending) int {
	return cmp.Or(
		cmp.Compare(a.transport.controller, b.transport.controller),
		cmp.Compare(a.job, b.job),
		cmp.Compare(a.method, b.method),
		cmp.Compare(a.resource, b.resource),
		cmp.Compare(a.order, b.order),
		cmp.Compare(a.path, b.path),
		bytes.Compare(a.body, b.body),
	)
}

// findOrder looks up what calls of one kind are sorted by.
func (r *run) findOrder(calls []*pending) {
	for _, p := range calls {
		if p.method == http.MethodPost {
			var pod metav1.PartialObjectMetadata
			if p.resource == "pods" && json.Unmarshal(p.body, &pod) == nil {
				p.job, p.order = ownerNumber(&pod), parseIndex(pod.Annotations[batchv1.JobCompletionIndexAnnotation])
			}
			continue
		}
		t, err := r.server.target(p.path)
		if err != nil {
			continue
		}
		o, there := r.server.store.objects[t.key()]
		if !there {
			o, there = r.server.store.gone[t.key()]
		}
		if !there {
			continue
		}
		if p.resource == "jobs" {
			p.job = o.number
		} else if accessor, err := meta.Accessor(o.versioned); err == nil {
			p.job, p.order = ownerNumber(accessor), o.number
		}
	}
}

// ownerNumber is that of the Job that owns a pod.
func ownerNumber(pod metav1.Object) int {
	for _, owner := range pod.GetOwnerReferences() {
		if owner.Kind == "Job" {
			return uidNumber(owner.UID)
		}
	}
	return -1
}

// answerFor makes what the caller gets.
func (r *run) answerFor(p *pending, as string) (answer, error) {
	switch as {
	case "result":
		if p.outcome == nil {
			return answer{}, fmt.Errorf("call %d has not been executed", p.id)
		}
		if p.outcome.written == nil {
			return answer{code: p.outcome.code, mediaType: runtime.ContentTypeJSON, body: p.outcome.body}, nil
		}
		wire, err := p.outcome.written.wire()
		return answer{code: p.outcome.code, mediaType: runtime.ContentTypeProtobuf, body: wire}, err
	case "conflict":
		t, err := r.server.target(p.path)
		if err != nil {
			return answer{}, err
		}
		code, body := refusal(apierrors.NewConflict(t.resource.groupResource(), t.name, errors.New(genericregistry.OptimisticLockErrorMsg)))
		return answer{code: code, mediaType: runtime.ContentTypeJSON, body: body}, nil
	case "unreachable":
		return answer{err: errUnreachable}, nil
	case "lost":
		return answer{err: errLost}, nil
	}
	return answer{}, fmt.Errorf("nobody can reply as %q", as)
}

// resourceOf is the last part of a path that names a resource.
func resourceOf(path string) string {
	parts := strings.Split(strings.Trim(path, "/"), "/")
	for i, part := range parts {
		if part == "namespaces" && i+2 < len(parts) {
			return parts[i+2]
		}
	}
	return parts[len(parts)-1]
}

func readBody(httpRequest *http.Request) ([]byte, error) {
	if httpRequest.Body == nil {
		return nil, nil
	}
	defer httpRequest.Body.Close()
	body, err := io.ReadAll(httpRequest.Body)
	return bytes.TrimSuffix(body, []byte("\n")), err
}

func response(code int, mediaType string, body []byte) (*http.Response, error) {
	return &http.Response{
		StatusCode: code, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{"Content-Type": {mediaType}}, Body: io.NopCloser(bytes.NewReader(body)), ContentLength: int64(len(body)),
	}, nil
}
