package reference

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"path"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
)

// postedEvents has the Events of a run, which live beside the store: nobody but their recorders ever reads them.
type postedEvents struct {
	objects map[string][]byte
	fresh   []event
}

// combined is what a recorder puts before the message of an Event that stands for several.
const combined = "(combined from similar events): "

var events = schema.GroupResource{Resource: "events"}

// postEvent answers the recorder of a controller, in the recorder's goroutine.
func (r *run) postEvent(p *pending) (int, []byte) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	name, document, err := r.posts.apply(p)
	if err == nil && p.method == http.MethodPost {
		err = r.server.mayCreate(events, path.Base(path.Dir(p.path)), name)
	}
	if err != nil {
		return refusal(err)
	}
	r.posts.objects[name] = document
	r.posts.fresh = append(r.posts.fresh, event{p.transport.controller, p.method, name, document})
	r.wakeUp()
	if p.method == http.MethodPost {
		return http.StatusCreated, document
	}
	return http.StatusOK, document
}

func (e *postedEvents) apply(p *pending) (string, []byte, error) {
	if p.method != http.MethodPost {
		name := path.Base(p.path)
		document, there := e.objects[name]
		if !there {
			return "", nil, apierrors.NewNotFound(events, name)
		}
		patched, err := strategicpatch.StrategicMergePatch(document, p.body, &corev1.Event{})
		return name, patched, err
	}
	var posted corev1.Event
	if err := json.Unmarshal(p.body, &posted); err != nil {
		return "", nil, apierrors.NewBadRequest(err.Error())
	}
	// Recorders name Events after the time in nanoseconds; here many happen in the same one, and get names of their own. A recorder goes on
	// with the name that it is told, except for an Event that stands for several: there it keeps its own.
	name := posted.Name
	if !strings.HasPrefix(posted.Message, combined) || e.objects[name] != nil {
		for i := 1; i == 1 || e.objects[posted.Name] != nil; i++ {
			posted.Name = fmt.Sprintf("%s-%d", name, i)
		}
	}
	posted.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Event"))
	return posted.Name, mustMarshal(&posted), nil
}

func sortEvents(fresh []event) {
	slices.SortStableFunc(fresh, func(a, b event) int {
		return cmp.Or(cmp.Compare(a.controller, b.controller), cmp.Compare(a.method, b.method), cmp.Compare(a.name, b.name), bytes.Compare(a.document, b.document))
	})
}
