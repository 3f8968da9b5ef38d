package reference

import (
	"encoding/json"
	"strconv"
)

// Most of what answers say is JSON already. They are put together here by hand, because encoding/json would read and copy all of it again.

// encoder is an answer that writes itself.
type encoder interface {
	appendTo(b []byte) []byte
}

func encode(answer any) ([]byte, error) {
	if e, ok := answer.(encoder); ok {
		return e.appendTo(make([]byte, 0, 4096)), nil
	}
	return json.Marshal(answer)
}

func (p progress) appendTo(b []byte) []byte { return append(p.appendFields(append(b, '{')), '}') }

func (o outcome) appendTo(b []byte) []byte { return append(o.appendFields(append(b, '{')), '}') }

func (o outcomeAndProgress) appendTo(b []byte) []byte {
	b = append(o.outcome.appendFields(append(b, '{')), ',')
	return append(o.progress.appendFields(b), '}')
}

func (p progress) appendFields(b []byte) []byte {
	b = append(b, `"nowMicros":`...)
	b = strconv.AppendInt(b, p.nowMicros, 10)
	b = append(b, `,"calls":[`...)
	for i, call := range p.calls {
		b = call.appendTo(separate(b, i))
	}
	b = append(b, `],"events":[`...)
	for i, event := range p.events {
		b = event.appendTo(separate(b, i))
	}
	return append(b, ']')
}

func (o outcome) appendFields(b []byte) []byte {
	b = append(b, `"code":`...)
	b = strconv.AppendInt(b, int64(o.code), 10)
	b = appendDocument(append(b, `,"body":`...), o.body)
	b = append(b, `,"changes":[`...)
	for i, change := range o.changes {
		b = change.appendTo(separate(b, i))
	}
	return append(b, ']')
}

func (p *pending) appendTo(b []byte) []byte {
	b = append(b, `{"id":`...)
	b = strconv.AppendInt(b, int64(p.id), 10)
	b = appendText(append(b, `,"controller":`...), p.transport.controller)
	b = appendText(append(b, `,"method":`...), p.method)
	b = appendText(append(b, `,"path":`...), p.path)
	b = appendText(append(b, `,"contentType":`...), p.contentType)
	return append(appendDocument(append(b, `,"body":`...), p.body), '}')
}

func (e event) appendTo(b []byte) []byte {
	b = appendText(append(b, `{"controller":`...), e.controller)
	b = appendText(append(b, `,"method":`...), e.method)
	b = appendText(append(b, `,"name":`...), e.name)
	return append(appendDocument(append(b, `,"event":`...), e.document), '}')
}

func (c change) appendTo(b []byte) []byte {
	b = append(b, `{"seq":`...)
	b = strconv.AppendUint(b, c.object.version, 10)
	b = appendText(append(b, `,"resource":`...), c.object.resource)
	b = appendText(append(b, `,"type":`...), c.kind)
	return append(appendDocument(append(b, `,"object":`...), c.object.document), '}')
}

// separate puts a comma before all elements of a list but the first.
func separate(b []byte, i int) []byte {
	if i > 0 {
		b = append(b, ',')
	}
	return b
}

func appendText(b []byte, text string) []byte { return append(b, mustMarshal(text)...) }

func appendDocument(b, document []byte) []byte {
	if len(document) == 0 {
		return append(b, "null"...)
	}
	return append(b, document...)
}
