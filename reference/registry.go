package reference

import (
	"context"

	"github.com/google/uuid"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utilrand "k8s.io/apimachinery/pkg/util/rand"
	"k8s.io/apiserver/pkg/registry/generic"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/apiserver/pkg/storage"
	"k8s.io/apiserver/pkg/storage/storagebackend"
	"k8s.io/apiserver/pkg/storage/storagebackend/factory"
	policyclient "k8s.io/client-go/kubernetes/typed/policy/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/kubernetes/pkg/apis/batch"
	_ "k8s.io/kubernetes/pkg/apis/batch/install" // knows Jobs
	"k8s.io/kubernetes/pkg/apis/core"
	_ "k8s.io/kubernetes/pkg/apis/core/install"   // knows pods and bindings
	_ "k8s.io/kubernetes/pkg/apis/policy/install" // knows evictions
	jobstorage "k8s.io/kubernetes/pkg/registry/batch/job/storage"
)

// server is the API server's part that this driver needs: Kubernetes' own registries of Jobs and pods over a store in memory.
// Handlers of HTTP (decoding, patches, status codes) are in requests.go.
type server struct {
	store *store
	// terminating has the namespaces where nothing can be created any more.
	terminating map[string]bool
	jobs, pods  *resource
}

// resource is a registry and how its objects are written down.
type resource struct {
	name        string
	kind        schema.GroupVersionKind
	newInternal func() runtime.Object
	// newVersioned makes the object whose fields say how lists are merged by a strategic merge patch.
	newVersioned func() runtime.Object
	// stored is protobuf; reading it fills in the defaults.
	stored runtime.Codec

	objects registry
	status  rest.Updater
	// bodies are the subresources of a POST: they act on an object that exists.
	bodies map[string]subresource
}

// registry is what the storage of a resource can do.
type registry interface {
	rest.Getter
	rest.Creater
	rest.Updater
	rest.GracefulDeleter
}

type subresource struct {
	storage rest.NamedCreater
	kind    schema.GroupVersionKind
	wire    runtime.Codec
}

func newServer() (*server, error) {
	s := &server{
		jobs: &resource{
			name:         "jobs",
			kind:         batchv1.SchemeGroupVersion.WithKind("Job"),
			newInternal:  func() runtime.Object { return &batch.Job{} },
			newVersioned: func() runtime.Object { return &batchv1.Job{} },
		},
		pods: &resource{
			name:         "pods",
			kind:         corev1.SchemeGroupVersion.WithKind("Pod"),
			newInternal:  func() runtime.Object { return &core.Pod{} },
			newVersioned: func() runtime.Object { return &corev1.Pod{} },
		},
	}
	s.reset(0)
	for _, r := range []*resource{s.jobs, s.pods} {
		r.stored = codec(runtime.ContentTypeProtobuf, r.kind.GroupVersion())
	}
	jobs, err := jobstorage.NewStorage(s.options(s.jobs))
	if err != nil {
		return nil, err
	}
	pods, err := newPodStorage(s.options(s.pods), budgets{})
	if err != nil {
		return nil, err
	}
	s.jobs.objects, s.jobs.status = jobs.Job, jobs.Status
	s.pods.objects, s.pods.status = pods.Pod, pods.Status
	s.pods.bodies = map[string]subresource{
		"eviction": {pods.Eviction, policyv1.SchemeGroupVersion.WithKind("Eviction"), codec(runtime.ContentTypeJSON, policyv1.SchemeGroupVersion)},
		"binding":  {pods.Binding, corev1.SchemeGroupVersion.WithKind("Binding"), codec(runtime.ContentTypeJSON, corev1.SchemeGroupVersion)},
	}
	return s, nil
}

// reset empties the store for a new run, whose generated names depend on the seed.
func (s *server) reset(seed int64) {
	s.store = newStore()
	s.terminating = map[string]bool{}
	uuid.SetRand(s.store)
	utilrand.Seed(seed)
}

// options hands our store to a registry. Garbage collection is on, as in a real API server: it is what makes propagation policies
// leave their finalizers.
func (s *server) options(r *resource) generic.RESTOptions {
	return generic.RESTOptions{
		StorageConfig: (&storagebackend.Config{
			Codec: r.stored, EncodeVersioner: r.kind.GroupVersion(),
		}).ForResource(r.groupResource()),
		ResourcePrefix:          r.name,
		EnableGarbageCollection: true,
		DeleteCollectionWorkers: 1,
		Decorator: func(
			*storagebackend.ConfigForResource, string, func(runtime.Object) (string, error), func() runtime.Object, func() runtime.Object,
			storage.AttrFunc, storage.IndexerFuncs, *cache.Indexers,
		) (storage.Interface, factory.DestroyFunc, error) {
			return &shelf{server: s, resource: r}, func() {}, nil
		},
	}
}

// budgets answers that there are no PodDisruptionBudgets.
type budgets struct {
	policyclient.PodDisruptionBudgetInterface
}

func (b budgets) PodDisruptionBudgets(string) policyclient.PodDisruptionBudgetInterface { return b }

func (b budgets) List(context.Context, metav1.ListOptions) (*policyv1.PodDisruptionBudgetList, error) {
	return &policyv1.PodDisruptionBudgetList{}, nil
}
