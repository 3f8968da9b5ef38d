package reference

import "encoding/json"

// protocolVersion is the one that PROTOCOL.md describes.
const protocolVersion = 1

// request has the fields of all requests; `do` says which of them count.
type request struct {
	Do       string `json:"do"`
	Protocol int    `json:"protocol"`

	Mode         string          `json:"mode"`
	Seed         int64           `json:"seed"`
	FeatureGates map[string]bool `json:"featureGates"`
	Workers      int             `json:"workers"`
	QPS          *float64        `json:"qps"`
	Burst        int             `json:"burst"`

	Method      string          `json:"method"`
	Path        string          `json:"path"`
	ContentType string          `json:"contentType"`
	Body        json.RawMessage `json:"body"`

	Name     string `json:"name"`
	Resource string `json:"resource"`
	UpTo     uint64 `json:"upTo"`
	ToMicros int64  `json:"toMicros"`
	ID       int    `json:"id"`
	As       string `json:"as"`

	admission
	Items []admission `json:"items"`

	What        string            `json:"what"`
	Text        string            `json:"text"`
	Completions int32             `json:"completions"`
	Pods        []json.RawMessage `json:"pods"`
}

// admission is one question of `admit` and `admit-many`. The resource of `admit` is the one of the request.
type admission struct {
	Resource     string          `json:"resource"`
	Verb         string          `json:"verb"`
	Old          json.RawMessage `json:"old"`
	New          json.RawMessage `json:"new"`
	FeatureGates map[string]bool `json:"featureGates"`
}

type failure struct {
	Error string `json:"error"`
}

type greeting struct {
	Protocol   int    `json:"protocol"`
	Kubernetes string `json:"kubernetes"`
	Go         string `json:"go"`
	Source     string `json:"source"`
}

// progress is what has come up in the controllers since the last one.
type progress struct {
	NowMicros int64   `json:"nowMicros"`
	Calls     []call  `json:"calls"`
	Events    []event `json:"events"`
}

// call is what the other side sees of a pending call.
type call struct {
	ID          int             `json:"id"`
	Controller  string          `json:"controller"`
	Method      string          `json:"method"`
	Path        string          `json:"path"`
	ContentType string          `json:"contentType"`
	Body        json.RawMessage `json:"body"`
}

type event struct {
	Controller string          `json:"controller"`
	Method     string          `json:"method"`
	Name       string          `json:"name"`
	Event      json.RawMessage `json:"event"`
}

// outcome is what the API server answers, and what it wrote.
type outcome struct {
	Code    int             `json:"code"`
	Body    json.RawMessage `json:"body"`
	Changes []change        `json:"changes"`
}

// change is a write as a watch shows it.
type change struct {
	Seq      uint64          `json:"seq"`
	Resource string          `json:"resource"`
	Type     string          `json:"type"`
	Object   json.RawMessage `json:"object"`
}

type outcomeAndProgress struct {
	outcome
	progress
}

type verdict struct {
	Code    int             `json:"code"`
	Body    json.RawMessage `json:"body"`
	Deleted bool            `json:"deleted,omitempty"`
}
