package reference

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/endpoints/handlers/responsewriters"
	apirequest "k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/registry/rest"
)

// target is what a path means.
type target struct {
	resource                     *resource
	namespace, name, subresource string
}

// target understands /api/v1/namespaces/N/pods[/NAME[/SUBRESOURCE]] and the same below /apis/batch/v1.
func (s *server) target(path string) (target, error) {
	path, _, _ = strings.Cut(path, "?")
	parts := strings.Split(strings.Trim(path, "/"), "/")
	var t target
	switch {
	case len(parts) > 2 && parts[0] == "api" && parts[1] == "v1":
		t.resource, parts = s.pods, parts[2:]
	case len(parts) > 3 && parts[0] == "apis" && parts[1] == "batch" && parts[2] == "v1":
		t.resource, parts = s.jobs, parts[3:]
	}
	if t.resource == nil || len(parts) < 3 || len(parts) > 5 || parts[0] != "namespaces" || parts[2] != t.resource.name {
		return target{}, errors.NewGenericServerResponse(http.StatusNotFound, "", schema.GroupResource{}, "", path, 0, true)
	}
	t.namespace = parts[1]
	if len(parts) > 3 {
		t.name = parts[3]
	}
	if len(parts) > 4 {
		t.subresource = parts[4]
	}
	return t, nil
}

// handle does what one HTTP request asks for, at once.
func (s *server) handle(method, path, contentType string, body []byte) outcome {
	before := s.store.seq()
	code, answer, written := s.respond(method, path, contentType, body)
	return outcome{code: code, body: answer, changes: s.store.between(before, s.store.seq()), written: written}
}

// respond returns the status code, the body, and the object in the body. A panic of Kubernetes' rules is an answer, as in a real API server.
func (s *server) respond(method, path, contentType string, body []byte) (code int, answer []byte, written *object) {
	defer func() {
		if fault := recover(); fault != nil {
			code, answer = refusal(errors.NewInternalError(fmt.Errorf("panic: %v", fault)))
		}
	}()
	t, err := s.target(path)
	if err != nil {
		code, answer = refusal(err)
		return code, answer, nil
	}
	ctx := t.context(method)
	var result runtime.Object
	code = http.StatusOK
	switch {
	case method == http.MethodGet && t.name == "":
		return code, s.listDocument(t.resource, t.namespace), nil
	case method == http.MethodGet:
		result, err = t.resource.objects.Get(ctx, t.name, &metav1.GetOptions{})
	case method == http.MethodPost:
		code = http.StatusCreated
		result, err = s.create(ctx, t, body)
	case method == http.MethodPut && t.name != "":
		result, err = s.update(ctx, t, body)
	case method == http.MethodPatch && t.name != "":
		result, err = s.patch(ctx, t, contentType, body)
	case method == http.MethodDelete && t.name != "" && t.subresource == "":
		result, code, err = s.delete(ctx, t, body)
	default:
		err = errors.NewMethodNotSupported(t.resource.groupResource(), strings.ToLower(method))
	}
	if err == nil {
		answer, written, err = s.encode(t.resource, result)
	}
	if err != nil {
		code, answer = refusal(err)
	}
	return code, answer, written
}

func (r *resource) groupResource() schema.GroupResource {
	return schema.GroupResource{Group: r.kind.Group, Resource: r.name}
}

// key is where the store has the object.
func (t *target) key() string { return "/" + t.resource.name + "/" + t.namespace + "/" + t.name }

// context carries what the registry wants to know about a request.
func (t *target) context(method string) context.Context {
	ctx := apirequest.WithNamespace(apirequest.NewContext(), t.namespace)
	return apirequest.WithRequestInfo(ctx, &apirequest.RequestInfo{
		IsResourceRequest: true,
		Verb: map[string]string{
			http.MethodGet: "get", http.MethodPost: "create", http.MethodPut: "update", http.MethodPatch: "patch", http.MethodDelete: "delete",
		}[method],
		APIPrefix:   map[string]string{"": "api"}[t.resource.kind.Group],
		APIGroup:    t.resource.kind.Group,
		APIVersion:  t.resource.kind.Version,
		Namespace:   t.namespace,
		Resource:    t.resource.name,
		Subresource: t.subresource,
		Name:        t.name,
	})
}

func (s *server) create(ctx context.Context, t target, body []byte) (runtime.Object, error) {
	if t.subresource != "" {
		return s.createBody(ctx, t, body)
	}
	if t.name != "" {
		return nil, errors.NewMethodNotSupported(t.resource.groupResource(), "create")
	}
	obj, err := t.resource.decode(body)
	if err != nil {
		return nil, err
	}
	accessor, err := meta.Accessor(obj)
	if err != nil {
		return nil, errors.NewBadRequest(err.Error())
	}
	if err := rest.EnsureObjectNamespaceMatchesRequestNamespace(t.namespace, accessor); err != nil {
		return nil, err
	}
	name := accessor.GetName()
	if name == "" {
		name = accessor.GetGenerateName()
	}
	if err := s.mayCreate(t.resource.groupResource(), t.namespace, name); err != nil {
		return nil, err
	}
	s.store.creating = t.resource.name
	defer func() { s.store.creating = "" }()
	return t.resource.objects.Create(ctx, obj, rest.ValidateAllObjectFunc, &metav1.CreateOptions{})
}

// createBody posts an eviction or a binding.
func (s *server) createBody(ctx context.Context, t target, body []byte) (runtime.Object, error) {
	sub, known := t.resource.bodies[t.subresource]
	if !known {
		return nil, errors.NewMethodNotSupported(t.resource.groupResource(), "create")
	}
	obj, _, err := sub.wire.Decode(body, &sub.kind, nil)
	if err != nil {
		return nil, errors.NewBadRequest(err.Error())
	}
	if err := s.mayCreate(t.resource.groupResource(), t.namespace, t.name); err != nil {
		return nil, err
	}
	return sub.storage.Create(ctx, t.name, obj, rest.ValidateAllObjectFunc, &metav1.CreateOptions{})
}

// mayCreate is what the admission plugin NamespaceLifecycle says.
func (s *server) mayCreate(resource schema.GroupResource, namespace, name string) error {
	if !s.terminating[namespace] {
		return nil
	}
	if name == "" {
		name = "Unknown"
	}
	refusal := errors.NewForbidden(resource, name,
		fmt.Errorf("unable to create new content in namespace %s because it is being terminated", namespace))
	refusal.ErrStatus.Details.Causes = append(refusal.ErrStatus.Details.Causes, metav1.StatusCause{
		Type:    corev1.NamespaceTerminatingCause,
		Message: fmt.Sprintf("namespace %s is being terminated", namespace),
		Field:   "metadata.namespace",
	})
	return refusal
}

func (s *server) update(ctx context.Context, t target, body []byte) (runtime.Object, error) {
	updater, err := t.updater("update")
	if err != nil {
		return nil, err
	}
	obj, err := t.resource.decode(body)
	if err != nil {
		return nil, err
	}
	if err := t.checkName(obj); err != nil {
		return nil, err
	}
	result, _, err := updater.Update(ctx, t.name, rest.DefaultUpdatedObjectInfo(obj),
		rest.ValidateAllObjectFunc, rest.ValidateAllObjectUpdateFunc, false, &metav1.UpdateOptions{})
	return result, err
}

func (t *target) updater(verb string) (rest.Updater, error) {
	switch t.subresource {
	case "":
		return t.resource.objects, nil
	case "status":
		return t.resource.status, nil
	}
	return nil, errors.NewMethodNotSupported(t.resource.groupResource(), verb)
}

// checkName compares the object with the path, as the handlers of a real API server do.
func (t *target) checkName(obj runtime.Object) error {
	accessor, err := meta.Accessor(obj)
	if err != nil {
		return errors.NewBadRequest(err.Error())
	}
	if accessor.GetName() != t.name {
		return errors.NewBadRequest(fmt.Sprintf("the name of the object (%s) does not match the name on the URL (%s)", accessor.GetName(), t.name))
	}
	return rest.EnsureObjectNamespaceMatchesRequestNamespace(t.namespace, accessor)
}

func (s *server) delete(ctx context.Context, t target, body []byte) (runtime.Object, int, error) {
	options := &metav1.DeleteOptions{}
	if len(body) > 0 {
		if err := json.Unmarshal(body, options); err != nil {
			return nil, 0, errors.NewBadRequest(err.Error())
		}
	}
	if errs := validation.ValidateDeleteOptions(options); len(errs) > 0 {
		return nil, 0, errors.NewInvalid(schema.GroupKind{Group: metav1.GroupName, Kind: "DeleteOptions"}, "", errs)
	}
	options.SetGroupVersionKind(metav1.SchemeGroupVersion.WithKind("DeleteOptions"))
	orphan := options.OrphanDependents //nolint:staticcheck // still understood by API servers
	result, deleted, err := t.resource.objects.Delete(ctx, t.name, rest.ValidateAllObjectFunc, options)
	code := http.StatusOK
	if !deleted && orphan != nil && !*orphan {
		code = http.StatusAccepted
	}
	return result, code, err
}

func (s *server) listDocument(r *resource, namespace string) []byte {
	items := []json.RawMessage{}
	for _, o := range s.store.list(r.name) {
		if namespace == "" || strings.HasPrefix(o.key, "/"+r.name+"/"+namespace+"/") {
			items = append(items, o.document)
		}
	}
	return mustMarshal(map[string]any{
		"kind": r.kind.Kind + "List", "apiVersion": r.kind.GroupVersion().String(),
		"metadata": map[string]string{"resourceVersion": s.listVersion()}, "items": items,
	})
}

// listVersion is the resource version of lists, that of the last change: never 0, which has a meaning of its own.
func (s *server) listVersion() string {
	version := s.store.seq()
	if last := len(s.store.changes) - 1; last >= 0 {
		version = s.store.changes[last].object.version
	}
	return fmt.Sprint(max(version, 1))
}

func refusal(err error) (int, []byte) {
	status := responsewriters.ErrorToAPIStatus(err)
	return int(status.Code), mustMarshal(status)
}

// mustMarshal is for values that this driver has made itself.
func mustMarshal(value any) []byte {
	text, err := json.Marshal(value)
	if err != nil {
		panic(err)
	}
	return text
}
