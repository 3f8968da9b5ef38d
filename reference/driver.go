// Package reference is a driver around Kubernetes' own Job controller and registry, for one version of Kubernetes. README.md says what it is
// for and PROTOCOL.md how to talk to it.
package reference

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime"
	"testing"

	_ "go.towtank.dev/reference/unmeasured" // the queues of the controllers have no metrics
)

// Set by the linker: the version of Kubernetes and a digest of these sources.
var (
	kubernetesVersion = "unknown"
	sourceDigest      = "unknown"
)

type driver struct {
	t   *testing.T
	in  *bufio.Reader
	out *bufio.Writer

	greeted bool
	// server outlives a run, because making it is expensive; its store does not.
	server *server
}

var errEndOfInput = errors.New("end of input")

// serve answers until the input ends.
func (d *driver) serve() error {
	server, err := newServer()
	if err != nil {
		return err
	}
	d.server = server
	for {
		request, err := d.next()
		if errors.Is(err, errEndOfInput) {
			return nil
		}
		if err != nil {
			return err
		}
		if request.Do == "begin" && d.greeted {
			err = d.run(request)
		} else {
			err = d.reply(d.answer(request))
		}
		if errors.Is(err, errEndOfInput) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// answer handles what needs no run.
func (d *driver) answer(request *request) (any, error) {
	if request.Do == "hello" {
		// Who speaks another protocol learns which one is spoken here, and no more.
		d.greeted = request.Protocol == protocolVersion
		return greeting{protocolVersion, kubernetesVersion, runtime.Version(), sourceDigest}, nil
	}
	if !d.greeted {
		return nil, errors.New("hello must come first")
	}
	switch request.Do {
	case "admit":
		return d.admit(request)
	case "admit-many":
		return d.admitMany(request)
	case "text":
		return d.text(request)
	case "start", "stop", "request", "terminate-namespace", "deliver", "advance", "execute", "reply", "answer", "end":
		return nil, fmt.Errorf("%s needs a run: begin first", request.Do)
	}
	return nil, fmt.Errorf("nobody can do %q", request.Do)
}

// next reads requests until one can be understood; the others are answered with an error.
func (d *driver) next() (*request, error) {
	for {
		frame, err := readFrame(d.in)
		if errors.Is(err, io.EOF) {
			return nil, errEndOfInput
		}
		if err != nil {
			return nil, err
		}
		request := new(request)
		err = json.Unmarshal(frame, request)
		if err == nil {
			return request, nil
		}
		if err := d.reply(nil, fmt.Errorf("broken request: %w", err)); err != nil {
			return nil, err
		}
	}
}

func (d *driver) reply(answer any, err error) error {
	if err != nil {
		answer = failure{err.Error()}
	}
	return writeFrame(d.out, answer)
}
