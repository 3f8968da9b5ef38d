package reference

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"testing"
	"testing/synctest"

	"k8s.io/apimachinery/pkg/api/meta"
)

func (d *driver) admit(request *request) (any, error) {
	question := request.admission
	question.Resource, question.FeatureGates = request.Resource, request.FeatureGates
	answers, err := d.admitAll([]admission{question})
	if err != nil {
		return nil, err
	}
	if failed, ok := answers[0].(failure); ok {
		return nil, errors.New(failed.Error)
	}
	return answers[0], nil
}

func (d *driver) admitMany(request *request) (any, error) {
	answers, err := d.admitAll(request.Items)
	if err != nil {
		return nil, err
	}
	return map[string]any{"results": answers}, nil
}

// admitAll answers in a bubble, so that everything happens at the start of time.
func (d *driver) admitAll(questions []admission) ([]any, error) {
	answers := make([]any, len(questions))
	synctest.Test(d.t, func(*testing.T) {
		for i, question := range questions {
			verdict, err := d.server.admit(question)
			if err != nil {
				answers[i] = failure{err.Error()}
			} else {
				answers[i] = verdict
			}
		}
	})
	d.server.reset(0)
	return answers, nil
}

// admit puts the old object into an empty store as it is, and makes the request: what the registry answers is the verdict.
func (s *server) admit(question admission) (verdict, error) {
	restore, err := setFeatureGates(question.FeatureGates)
	if err != nil {
		return verdict{}, err
	}
	defer restore()
	s.reset(0)
	var r *resource
	switch question.Resource {
	case "jobs":
		r = s.jobs
	case "pods":
		r = s.pods
	default:
		return verdict{}, fmt.Errorf("nothing is known of the resource %q", question.Resource)
	}
	var named struct {
		Metadata struct {
			Namespace string `json:"namespace"`
			Name      string `json:"name"`
		} `json:"metadata"`
	}
	object := question.Old
	if question.Verb == "create" {
		object = question.New
	}
	if err := json.Unmarshal(object, &named); err != nil {
		return verdict{}, err
	}
	if named.Metadata.Namespace == "" {
		named.Metadata.Namespace = "default"
	}
	prefix := map[string]string{"jobs": "/apis/batch/v1", "pods": "/api/v1"}[r.name]
	path := prefix + "/namespaces/" + named.Metadata.Namespace + "/" + r.name
	if question.Verb == "create" {
		return judged(s.handle(http.MethodPost, path, "application/json", question.New)), nil
	}
	if err := s.seed(r, "/"+r.name+"/"+named.Metadata.Namespace+"/"+named.Metadata.Name, question.Old); err != nil {
		return verdict{}, err
	}
	path += "/" + named.Metadata.Name
	switch question.Verb {
	case "update":
		return judged(s.handle(http.MethodPut, path, "application/json", question.New)), nil
	case "updateStatus":
		return judged(s.handle(http.MethodPut, path+"/status", "application/json", question.New)), nil
	case "delete":
		return judged(s.handle(http.MethodDelete, path, "application/json", question.New)), nil
	}
	return verdict{}, fmt.Errorf("nothing is known of the verb %q", question.Verb)
}

// judged shows the object as it is stored afterwards: the answer to a deletion need not.
func judged(o outcome) verdict {
	if o.code >= http.StatusBadRequest {
		return verdict{Code: o.code, Body: o.body}
	}
	v := verdict{Code: http.StatusOK, Body: o.body}
	if len(o.changes) > 0 {
		last := o.changes[len(o.changes)-1]
		v.Body, v.Deleted = last.object.document, last.kind == "DELETED"
	}
	return v
}

// seed stores an object in an empty store without asking any rule. Versions are counted from the one that the object has.
func (s *server) seed(r *resource, key string, document []byte) error {
	obj, err := r.decode(document)
	if err != nil {
		return err
	}
	accessor, err := meta.Accessor(obj)
	if err != nil {
		return err
	}
	if accessor.GetNamespace() == "" {
		accessor.SetNamespace("default")
	}
	if version, err := strconv.ParseUint(accessor.GetResourceVersion(), 10, 64); err == nil && version > 0 {
		s.store.base = version - 1
	}
	shelf := &shelf{server: s, resource: r}
	data, err := shelf.encode(obj)
	if err != nil {
		return err
	}
	seeded := &object{resource: r.name, key: key, data: data}
	if err := shelf.put(seeded, r.newInternal()); err != nil {
		return err
	}
	s.store.objects[key] = seeded
	s.store.record("ADDED", seeded)
	return nil
}
