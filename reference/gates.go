package reference

import (
	"fmt"

	utilfeature "k8s.io/apiserver/pkg/util/feature"
	"k8s.io/component-base/featuregate"
	_ "k8s.io/kubernetes/pkg/features" // registers the gates
)

// setFeatureGates returns how to take it back.
func setFeatureGates(wanted map[string]bool) (restore func(), err error) {
	if len(wanted) == 0 {
		return func() {}, nil
	}
	gate := utilfeature.DefaultMutableFeatureGate
	known := gate.GetAll()
	before := map[string]bool{}
	for name := range wanted {
		if _, ok := known[featuregate.Feature(name)]; !ok {
			return nil, fmt.Errorf("this version has no feature gate %s", name)
		}
		before[name] = gate.Enabled(featuregate.Feature(name))
	}
	if err := gate.SetFromMap(wanted); err != nil {
		return nil, err
	}
	return func() {
		if err := gate.SetFromMap(before); err != nil {
			panic(err)
		}
	}, nil
}
