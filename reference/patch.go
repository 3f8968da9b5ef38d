package reference

import (
	"context"
	"fmt"
	"net/http"

	"k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/json"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
	"k8s.io/apiserver/pkg/registry/rest"
)

// patch applies a patch to the stored object, as it is when the write happens.
func (s *server) patch(ctx context.Context, t target, contentType string, patch []byte) (runtime.Object, error) {
	updater, err := t.updater("patch")
	if err != nil {
		return nil, err
	}
	apply := func(context.Context, runtime.Object, runtime.Object) (runtime.Object, error) {
		stored, there := s.store.objects[t.key()]
		if !there {
			return nil, errors.NewNotFound(t.resource.groupResource(), t.name)
		}
		patched, err := applyPatch(t.resource, contentType, stored.versioned, patch)
		if err != nil {
			return nil, err
		}
		obj, err := t.resource.internal(patched)
		if err != nil {
			return nil, err
		}
		return obj, t.checkName(obj)
	}
	result, _, err := updater.Update(ctx, t.name, rest.DefaultUpdatedObjectInfo(nil, apply),
		rest.ValidateAllObjectFunc, rest.ValidateAllObjectUpdateFunc, false, &metav1.UpdateOptions{})
	return result, err
}

// applyPatch goes from object to object without writing the JSON between them, as a real API server does with strategic merge patches.
func applyPatch(r *resource, contentType string, stored runtime.Object, patch []byte) (runtime.Object, error) {
	fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(stored)
	if err != nil {
		return nil, err
	}
	var changes map[string]any
	if err := json.Unmarshal(patch, &changes); err != nil {
		return nil, errors.NewBadRequest(err.Error())
	}
	patched := r.newVersioned()
	switch types.PatchType(contentType) {
	case types.StrategicMergePatchType:
		if fields, err = strategicpatch.StrategicMergeMapPatch(fields, changes, patched); err != nil {
			return nil, errors.NewBadRequest(err.Error())
		}
	case types.MergePatchType:
		fields = merged(fields, changes)
	default:
		return nil, errors.NewGenericServerResponse(http.StatusUnsupportedMediaType, "patch", r.groupResource(), "",
			fmt.Sprintf("the body of the request was in an unknown format: %q", contentType), 0, false)
	}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(fields, patched); err != nil {
		return nil, errors.NewBadRequest(err.Error())
	}
	return patched, nil
}

// merged applies a JSON merge patch (RFC 7386).
func merged(object any, changes map[string]any) map[string]any {
	fields, ok := object.(map[string]any)
	if !ok {
		fields = map[string]any{}
	}
	for name, change := range changes {
		switch change := change.(type) {
		case nil:
			delete(fields, name)
		case map[string]any:
			fields[name] = merged(fields[name], change)
		default:
			fields[name] = change
		}
	}
	return fields
}
