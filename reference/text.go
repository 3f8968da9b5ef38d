package reference

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sort"
	"testing"
	"testing/synctest"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/kubernetes/pkg/controller"
)

// text answers questions about the controller's small languages.
func (d *driver) text(request *request) (any, error) {
	switch request.What {
	case "indexes":
		return d.indexes(request.Text, request.Completions)
	case "deletion-ranking":
		return rankForDeletion(request.Pods)
	}
	return nil, fmt.Errorf("nothing is known of %q", request.What)
}

// indexes lets the controller read a list of indexes from the status of a Job, and print it again into the status that it wants to write. The status is
// wrong in another field, so that there is something to write in any case.
func (d *driver) indexes(text string, completions int32) (any, error) {
	parallelism, mode := int32(0), batchv1.IndexedCompletion
	labels := map[string]string{"job-name": "text"}
	job := &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "text", UID: "text", Generation: 1},
		Spec: batchv1.JobSpec{
			Completions: &completions, Parallelism: &parallelism, CompletionMode: &mode, Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec:       corev1.PodSpec{RestartPolicy: corev1.RestartPolicyNever, Containers: []corev1.Container{{Name: "c", Image: "i"}}},
			},
		},
		Status: batchv1.JobStatus{Active: 1, CompletedIndexes: text},
	}
	d.server.reset(0)
	defer d.server.reset(0)
	if err := d.server.seed(d.server.jobs, "/jobs/default/text", mustMarshal(job)); err != nil {
		return nil, err
	}
	var written *batchv1.Job
	var err error
	synctest.Test(d.t, func(*testing.T) {
		r := d.newRun(&request{Workers: 1})
		defer r.end()
		if err = r.startProcess(); err != nil {
			return
		}
		written, err = r.firstStatus(time.Second)
	})
	if err != nil {
		return nil, err
	}
	return map[string]any{"text": written.Status.CompletedIndexes, "count": written.Status.Succeeded}, nil
}

// firstStatus is the Job in the first call of the controllers, which must write a status and come within some time.
func (r *run) firstStatus(within time.Duration) (*batchv1.Job, error) {
	if err := r.advance(r.now() + within); err != nil {
		return nil, err
	}
	for _, call := range r.progress().calls {
		if call.method == http.MethodPut {
			job := new(batchv1.Job)
			return job, json.Unmarshal(call.body, job)
		}
	}
	return nil, errors.New("the controller wrote no status")
}

// rankForDeletion sorts as the Job controller does when it has too many pods.
func rankForDeletion(documents []json.RawMessage) (any, error) {
	pods := make([]*corev1.Pod, len(documents))
	positions := map[*corev1.Pod]int{}
	for i, document := range documents {
		pods[i] = &corev1.Pod{}
		if err := json.Unmarshal(document, pods[i]); err != nil {
			return nil, err
		}
		positions[pods[i]] = i
	}
	sort.Sort(controller.ActivePods(pods))
	order := make([]int, len(pods))
	for i, pod := range pods {
		order[i] = positions[pod]
	}
	return map[string]any{"order": order}, nil
}
