package reference

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"

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
	answers chan *http.Response
}

// kinds of the resources that the controllers may watch.
var kinds = map[string]string{"jobs": "Job", "pods": "Pod", "workloads": "Workload", "podgroups": "PodGroup"}

func newFeed(r *run, p *process) *feed {
	return &feed{run: r, process: p, delivered: map[string]uint64{}, streams: map[string][]*stream{}}
}

func clientConfig(transport http.RoundTripper) *rest.Config {
	return &rest.Config{
		Host: "http://towtank", Transport: transport, QPS: -1,
		ContentConfig: rest.ContentConfig{ContentType: "application/json", AcceptContentTypes: "application/json"},
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
		answers: make(chan *http.Response, 1),
	}
	f.run.mutex.Lock()
	f.run.feeds = append(f.run.feeds, request)
	f.run.mutex.Unlock()
	f.run.wakeUp()
	select {
	case answer := <-request.answers:
		return answer, nil
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
		request.answers <- request.feed.answer(request)
	}
	return len(waiting) > 0
}

func (f *feed) answer(request *feedRequest) *http.Response {
	server := f.run.server
	if !request.watch {
		f.delivered[request.resource] = server.store.seq()
		answer, _ := response(http.StatusOK, f.list(request))
		return answer
	}
	s := newStream(f.process)
	f.streams[request.resource] = append(f.streams[request.resource], s)
	if request.initial {
		f.delivered[request.resource] = server.store.seq()
		for _, o := range server.store.list(request.resource) {
			s.send("ADDED", o.document)
		}
		s.send("BOOKMARK", mustMarshal(map[string]any{
			"kind": kinds[request.resource], "apiVersion": request.apiVersion,
			"metadata": map[string]any{
				"resourceVersion": server.listVersion(), "annotations": map[string]string{"k8s.io/initial-events-end": "true"},
			},
		}))
	} else if delivered := f.delivered[request.resource]; request.version < delivered {
		s.sendChanges(server.store.changes[request.version:delivered], request.resource)
	}
	return &http.Response{
		StatusCode: http.StatusOK, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{"Content-Type": {"application/json"}}, Body: s, ContentLength: -1,
	}
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

// deliver lets the watches of a resource see all changes up to a sequence number.
func (r *run) deliver(resource string, upTo uint64) error {
	if upTo > r.server.store.seq() {
		return fmt.Errorf("there are only %d changes yet", r.server.store.seq())
	}
	if r.process == nil {
		return nil
	}
	f := r.process.feed
	from := f.delivered[resource]
	if upTo <= from {
		return nil
	}
	f.delivered[resource] = upTo
	for _, s := range f.streams[resource] {
		s.sendChanges(r.server.store.changes[from:upTo], resource)
	}
	return nil
}

// stream is the body of a watch's answer.
type stream struct {
	process *process
	closed  chan struct{}
	signal  chan struct{}
	mutex   sync.Mutex
	lines   []byte
	once    sync.Once
}

func newStream(p *process) *stream {
	return &stream{process: p, closed: make(chan struct{}), signal: make(chan struct{}, 1)}
}

func (s *stream) sendChanges(changes []change, resource string) {
	for _, c := range changes {
		if c.Resource == resource {
			s.send(c.Type, c.Object)
		}
	}
}

func (s *stream) send(kind string, object json.RawMessage) {
	s.mutex.Lock()
	s.lines = append(s.lines, `{"type":"`+kind+`","object":`...)
	s.lines = append(s.lines, object...)
	s.lines = append(s.lines, "}\n"...)
	s.mutex.Unlock()
	select {
	case s.signal <- struct{}{}:
	default:
	}
}

// Read runs in the informer's goroutine.
func (s *stream) Read(p []byte) (int, error) {
	for {
		s.mutex.Lock()
		n := copy(p, s.lines)
		s.lines = s.lines[n:]
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
