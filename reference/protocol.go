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

	// Changes that the API server has made since the last request, in mode open.
	Changes []serverChange `json:"changes"`

	Method      string          `json:"method"`
	Path        string          `json:"path"`
	ContentType string          `json:"contentType"`
	Body        json.RawMessage `json:"body"`

	Name     string            `json:"name"`
	Resource string            `json:"resource"`
	UpTo     map[string]uint64 `json:"upTo"`
	ToMicros int64             `json:"toMicros"`
	ID       int               `json:"id"`
	As       string            `json:"as"`
	Code     int               `json:"code"`

	admission
	Items []admission `json:"items"`

	What        string            `json:"what"`
	Text        string            `json:"text"`
	Completions int32             `json:"completions"`
	Pods        []json.RawMessage `json:"pods"`
}

// serverChange is a change in an API server that is not this driver, as its watches show it.
type serverChange struct {
	Resource string          `json:"resource"`
	Type     string          `json:"type"`
	Object   json.RawMessage `json:"object"`
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
	nowMicros int64
	calls     []*pending
	events    []event
}

// event is an Event that a controller's recorder has posted or counted up.
type event struct {
	controller string
	method     string
	name       string
	document   []byte
}

// outcome is what the API server answers, and what it wrote.
type outcome struct {
	code    int
	body    []byte
	changes []change
	// written is the object in the body, or nil if the body is a Status or a list.
	written *object
}

// change is a write as a watch shows it.
type change struct {
	kind   string
	object *object
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
