package reference

import (
	"encoding/json"
	"fmt"
	"sort"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/kubernetes/pkg/controller"
)

// text answers questions about the controller's small languages.
func (d *driver) text(request *request) (any, error) {
	switch request.What {
	case "deletion-ranking":
		return rankForDeletion(request.Pods)
	}
	return nil, fmt.Errorf("nothing is known of %q", request.What)
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
