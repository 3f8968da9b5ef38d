//go:build since_1_36 && !since_1_37

package reference

import (
	"context"

	"k8s.io/client-go/informers"
	batchinformers "k8s.io/client-go/informers/batch/v1"
	coreinformers "k8s.io/client-go/informers/core/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/kubernetes/pkg/controller/job"
)

func newJobController(
	ctx context.Context, client kubernetes.Interface, pods coreinformers.PodInformer, jobs batchinformers.JobInformer, factory informers.SharedInformerFactory,
) (*job.Controller, error) {
	scheduling := factory.Scheduling().V1alpha2()
	return job.NewController(ctx, client, pods, jobs, scheduling.Workloads(), scheduling.PodGroups())
}
