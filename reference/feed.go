package reference

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing/synctest"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"
)

// feed is the network of the informers: their lists and watches. A list shows the store as it is; a watch shows what has been
// delivered.
type feed struct {
	run     *run
	process *process
	// delivered is, for each resource, the sequence number up to which the controllers know the changes.
	delivered map[string]uint64
	streams   map[string][]*stream
}

// feedRequest is a list or watch that waits for the root goroutine.
type feedRequest struct {
	feed       *feed
	resource   string
	apiVersion string
	watch      bool
	// initial asks a watch for all objects first.
	initial bool
	version uint64
	answers chan feedAnswer
}

type feedAnswer struct {
	response *http.Response
	err      error
}

// kinds of the resources that the controllers may watch.
var kinds = map[string]string{"jobs": "Job", "pods": "Pod", "workloads": "Workload", "podgroups": "PodGroup"}

func newFeed(r *run, p *process) *feed {
	return &feed{run: r, process: p, delivered: map[string]uint64{}, streams: map[string][]*stream{}}
}

func clientConfig(transport http.RoundTripper) *rest.Config {
	return &rest.Config{
		Host: "http://towtank", Transport: transport, QPS: -1,
		ContentConfig: rest.ContentConfig{ContentType: runtime.ContentTypeJSON, AcceptContentTypes: runtime.ContentTypeProtobuf + "," + runtime.ContentTypeJSON},
	}
}

// RoundTrip runs in the goroutines of the informers.
func (f *feed) RoundTrip(httpRequest *http.Request) (*http.Response, error) {
	query := httpRequest.URL.Query()
	parts := strings.Split(strings.Trim(httpRequest.URL.Path, "/"), "/")
	version, _ := strconv.ParseUint(query.Get("resourceVersion"), 10, 64)
	request := &feedRequest{
		feed: f, resource: parts[len(parts)-1], apiVersion: strings.Join(parts[1:len(parts)-1], "/"),
		watch: query.Get("watch") != "", initial: query.Get("sendInitialEvents") == "true", version: version,
		answers: make(chan feedAnswer, 1),
	}
	f.run.mutex.Lock()
	f.run.feeds = append(f.run.feeds, request)
	f.run.mutex.Unlock()
	f.run.wakeUp()
	select {
	case answer := <-request.answers:
		return answer.response, answer.err
	case <-f.process.dead:
		return nil, errGone
	}
}

// answerFeed answers the lists and watches of one resource: Jobs before pods before others. It says whether there were any.
func (r *run) answerFeed() bool {
	r.mutex.Lock()
	waiting := r.feeds
	r.feeds = nil
	r.mutex.Unlock()
	slices.SortStableFunc(waiting, func(a, b *feedRequest) int { return cmp.Compare(a.resource, b.resource) })
	for i, request := range waiting {
		if request.resource != waiting[0].resource {
			r.mutex.Lock()
			r.feeds = append(r.feeds, waiting[i:]...)
			r.mutex.Unlock()
			break
		}
		answer, err := request.feed.answer(request)
		request.answers <- feedAnswer{answer, err}
	}
	return len(waiting) > 0
}

func (f *feed) answer(request *feedRequest) (*http.Response, error) {
	server := f.run.server
	if !request.watch {
		f.delivered[request.resource] = server.store.seq()
		return response(http.StatusOK, runtime.ContentTypeJSON, f.list(request))
	}
	s := newStream(f.process)
	f.streams[request.resource] = append(f.streams[request.resource], s)
	if err := f.begin(s, request); err != nil {
		return nil, err
	}
	return &http.Response{
		StatusCode: http.StatusOK, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{"Content-Type": {runtime.ContentTypeProtobuf + ";stream=watch"}}, Body: s, ContentLength: -1,
	}, nil
}

// begin sends what a watch shows at once: all objects, if it wants them, or what it has missed.
func (f *feed) begin(s *stream, request *feedRequest) error {
	server := f.run.server
	if !request.initial {
		delivered := f.delivered[request.resource]
		return s.sendChanges(server.store.between(min(request.version, delivered), delivered), request.resource)
	}
	f.delivered[request.resource] = server.store.seq()
	for _, o := range server.store.list(request.resource) {
		if err := s.send("ADDED", o); err != nil {
			return err
		}
	}
	return s.sendBookmark(request, server.listVersion())
}

func (f *feed) list(request *feedRequest) []byte {
	server := f.run.server
	for _, r := range []*resource{server.jobs, server.pods} {
		if r.name == request.resource {
			return server.listDocument(r, "")
		}
	}
	return mustMarshal(map[string]any{
		"kind": kinds[request.resource] + "List", "apiVersion": request.apiVersion,
		"metadata": map[string]string{"resourceVersion": server.listVersion()}, "items": []any{},
	})
}

// deliver lets the watches see all changes of their resource up to a sequence number. Handlers are called when the caches of both resources
// show them all.
func (r *run) deliver(upTo map[string]uint64) error {
	for resource, last := range upTo {
		if last > r.server.store.seq() {
			return fmt.Errorf("there are only %d changes of %s yet", r.server.store.seq(), resource)
		}
	}
	if r.process == nil {
		return nil
	}
	f := r.process.feed
	r.process.latch.close()
	for _, resource := range []string{"pods", "jobs"} {
		if err := f.catchUp(resource, upTo[resource]); err != nil {
			return err
		}
		synctest.Wait()
	}
	r.process.latch.openChanges()
	return nil
}

func (f *feed) catchUp(resource string, upTo uint64) error {
	from := f.delivered[resource]
	if upTo <= from {
		return nil
	}
	f.delivered[resource] = upTo
	for _, s := range f.streams[resource] {
		if err := s.sendChanges(f.run.server.store.between(from, upTo), resource); err != nil {
			return err
		}
	}
	return nil
}

// stream is the body of a watch's answer.
type stream struct {
	process *process
	closed  chan struct{}
	signal  chan struct{}
	mutex   sync.Mutex
	unread  []byte
	once    sync.Once
}

func newStream(p *process) *stream {
	return &stream{process: p, closed: make(chan struct{}), signal: make(chan struct{}, 1)}
}

func (s *stream) sendChanges(changes []change, resource string) error {
	for _, c := range changes {
		if c.object.resource != resource {
			continue
		}
		if err := s.send(c.kind, c.object); err != nil {
			return err
		}
	}
	return nil
}

func (s *stream) send(kind string, o *object) error {
	wire, err := o.wire()
	if err != nil {
		return err
	}
	return s.sendRaw(kind, wire)
}

// sendBookmark says that a watch has shown all objects that were there.
func (s *stream) sendBookmark(request *feedRequest, version string) error {
	// Clients read nothing but the metadata, which all kinds have in the same place.
	bookmark := &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{
		ResourceVersion: version, Annotations: map[string]string{"k8s.io/initial-events-end": "true"},
	}}
	bookmark.SetGroupVersionKind(schema.FromAPIVersionAndKind(request.apiVersion, kinds[request.resource]))
	wire, err := runtime.Encode(protobufSerializer, bookmark)
	if err != nil {
		return err
	}
	return s.sendRaw("BOOKMARK", wire)
}

// sendRaw frames one change as a watch in protobuf does: its length, then it.
func (s *stream) sendRaw(kind string, wire []byte) error {
	event := metav1.WatchEvent{Type: kind, Object: runtime.RawExtension{Raw: wire}}
	encoded, err := event.Marshal()
	if err != nil {
		return err
	}
	s.mutex.Lock()
	s.unread = binary.BigEndian.AppendUint32(s.unread, uint32(len(encoded)))
	s.unread = append(s.unread, encoded...)
	s.mutex.Unlock()
	select {
	case s.signal <- struct{}{}:
	default:
	}
	return nil
}

// Read runs in the informer's goroutine.
func (s *stream) Read(p []byte) (int, error) {
	for {
		s.mutex.Lock()
		n := copy(p, s.unread)
		s.unread = s.unread[n:]
		s.mutex.Unlock()
		if n > 0 {
			return n, nil
		}
		select {
		case <-s.signal:
		case <-s.closed:
			return 0, io.EOF
		case <-s.process.dead:
			return 0, io.EOF
		}
	}
}

func (s *stream) Close() error {
	s.once.Do(func() { close(s.closed) })
	return nil
}
