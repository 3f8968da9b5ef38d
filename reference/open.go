package reference

import (
	"fmt"
	"strconv"

	"k8s.io/apimachinery/pkg/api/meta"
	kjson "k8s.io/apimachinery/pkg/util/json"
)

// In mode open the API server is somebody else. What its watches show is kept in the store, so that lists, watches and the order of calls are made
// from it as in mode closed; nothing is decided here.

// closedOnly are the requests that need the registry.
var closedOnly = []string{"request", "execute", "answer"}

func (r *run) isOpen() bool { return r.options.Mode == "open" }

// takeOver notes what the API server has changed.
func (r *run) takeOver(changes []serverChange) error {
	if len(changes) > 0 && !r.isOpen() {
		return fmt.Errorf("changes come from elsewhere in mode open only")
	}
	for _, c := range changes {
		if err := r.server.takeOver(c); err != nil {
			return err
		}
	}
	return nil
}

func (s *server) takeOver(c serverChange) error {
	var resource *resource
	switch c.Resource {
	case "jobs":
		resource = s.jobs
	case "pods":
		resource = s.pods
	default:
		return fmt.Errorf("nobody watches %q", c.Resource)
	}
	versioned := resource.newVersioned()
	if err := kjson.Unmarshal(c.Object, versioned); err != nil {
		return fmt.Errorf("a change of %s cannot be read: %w", c.Resource, err)
	}
	versioned.GetObjectKind().SetGroupVersionKind(resource.kind)
	accessor, err := meta.Accessor(versioned)
	if err != nil {
		return err
	}
	t := target{resource: resource, namespace: accessor.GetNamespace(), name: accessor.GetName()}
	o := &object{
		resource: c.Resource, key: t.key(), versioned: versioned, document: c.Object, number: creationNumber(versioned),
	}
	if o.version, err = strconv.ParseUint(accessor.GetResourceVersion(), 10, 64); err != nil {
		return fmt.Errorf("a change of %s has no version: %w", c.Resource, err)
	}
	switch c.Type {
	case "ADDED", "MODIFIED":
		s.store.objects[o.key] = o
	case "DELETED":
		delete(s.store.objects, o.key)
		s.store.gone[o.key] = o
	default:
		return fmt.Errorf("a change of type %q is unknown", c.Type)
	}
	s.store.record(c.Type, o)
	return nil
}
