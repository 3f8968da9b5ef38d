package reference

import (
	"encoding/json"
	"fmt"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	kjson "k8s.io/apimachinery/pkg/util/json"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
)

// Objects travel as JSON between this driver and the other side, and in the bodies of requests. What the controllers get is protobuf, as in a real
// controller manager, because reading JSON would take most of the time of a run.

// codec reads and writes one version of a group; reading fills in the defaults.
func codec(mediaType string, version schema.GroupVersion) runtime.Codec {
	serializer := serializerOf(mediaType)
	return legacyscheme.Codecs.CodecForVersions(serializer, serializer, version, runtime.InternalGroupVersioner)
}

func serializerOf(mediaType string) runtime.Serializer {
	info, ok := runtime.SerializerInfoForMediaType(legacyscheme.Codecs.SupportedMediaTypes(), mediaType)
	if !ok {
		panic(fmt.Sprintf("Kubernetes does not know %s", mediaType))
	}
	return info.Serializer
}

var protobufSerializer = serializerOf(runtime.ContentTypeProtobuf)

// decode reads the body of a request as the codec would, without looking for the kind first: it is known from the path.
func (r *resource) decode(body []byte) (runtime.Object, error) {
	versioned := r.newVersioned()
	if err := kjson.Unmarshal(body, versioned); err != nil {
		return nil, errors.NewBadRequest(err.Error())
	}
	return r.internal(versioned)
}

// internal is what the registry makes of an object that a client has sent: with defaults, and in the registry's own form.
func (r *resource) internal(versioned runtime.Object) (runtime.Object, error) {
	kind := versioned.GetObjectKind().GroupVersionKind()
	if !kind.Empty() && kind != r.kind {
		return nil, errors.NewBadRequest(fmt.Sprintf("the kind in the data (%v) does not match the expected one (%v)", kind, r.kind))
	}
	legacyscheme.Scheme.Default(versioned)
	internal := r.newInternal()
	if err := legacyscheme.Scheme.Convert(versioned, internal, nil); err != nil {
		return nil, errors.NewBadRequest(err.Error())
	}
	return internal, nil
}

// write fills in what clients get to see of an object.
func (r *resource) write(o *object, internal runtime.Object) error {
	versioned := r.newVersioned()
	if err := legacyscheme.Scheme.Convert(internal, versioned, nil); err != nil {
		return err
	}
	versioned.GetObjectKind().SetGroupVersionKind(r.kind)
	document, err := json.Marshal(versioned)
	o.versioned, o.document = versioned, document
	return err
}

// wire is the protobuf of the object.
func (o *object) wire() ([]byte, error) {
	if o.protobuf == nil {
		encoded, err := runtime.Encode(protobufSerializer, o.versioned)
		if err != nil {
			return nil, err
		}
		o.protobuf = encoded
	}
	return o.protobuf, nil
}

// encode writes down a result of the registry: a Status, or an object, which is then returned too.
func (s *server) encode(r *resource, result runtime.Object) ([]byte, *object, error) {
	if status, ok := result.(*metav1.Status); ok {
		status = status.DeepCopy()
		status.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Status"))
		return mustMarshal(status), nil, nil
	}
	if last := s.lastWritten(result); last != nil {
		return last.document, last, nil
	}
	o := &object{resource: r.name}
	err := r.write(o, result)
	return o.document, o, err
}

// lastWritten is the last change, if that is this object: most answers need not be written down twice.
func (s *server) lastWritten(result runtime.Object) *object {
	if len(s.store.changes) == 0 {
		return nil
	}
	accessor, err := meta.Accessor(result)
	if err != nil || accessor.GetResourceVersion() != strconv.FormatUint(s.store.seq(), 10) {
		return nil
	}
	return s.store.changes[len(s.store.changes)-1].object
}
