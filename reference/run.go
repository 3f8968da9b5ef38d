package reference

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// run is one run of the controllers, inside one bubble. Its root goroutine reads requests; while it does, the bubble's clock stands
// still.
type run struct {
	driver  *driver
	server  *server
	options *request
	start   time.Time

	// process is nil while no controller runs. Processes that are gone may still have goroutines that wait for a timer.
	process   *process
	processes []*process

	// calls are those the other side knows of, and that have had no reply.
	calls    map[int]*pending
	nextCall int

	// The goroutines of the controllers write down here what they want; wake tells the root goroutine.
	mutex sync.Mutex
	wake  chan struct{}
	// arrivals wait for a token of their client.
	arrivals []*pending
	// ready calls have not been reported yet.
	ready []*pending
	feeds []*feedRequest
	posts postedEvents
}

// run serves the requests of a run, from its `begin` on.
func (d *driver) run(begin *request) (err error) {
	if begin.Mode != "closed" && begin.Mode != "open" {
		return d.reply(nil, fmt.Errorf("mode %q is not offered", begin.Mode))
	}
	if begin.Workers < 1 {
		return d.reply(nil, errors.New("without workers nothing would happen"))
	}
	restore, err := setFeatureGates(begin.FeatureGates)
	if err != nil {
		return d.reply(nil, err)
	}
	defer restore()
	d.server.reset(begin.Seed)
	defer d.server.reset(0)
	synctest.Test(d.t, func(*testing.T) {
		r := d.newRun(begin)
		if err = d.reply(struct{}{}, nil); err == nil {
			err = r.serve()
		}
		r.end()
	})
	if err == nil {
		err = d.reply(struct{}{}, nil)
	}
	return err
}

// newRun must be called in a bubble.
func (d *driver) newRun(options *request) *run {
	return &run{
		driver: d, server: d.server, options: options, start: time.Now(),
		calls: map[int]*pending{}, wake: make(chan struct{}, 1),
		posts: postedEvents{objects: map[string][]byte{}},
	}
}

// serve answers until the run ends; its end is answered by whoever takes the bubble down.
func (r *run) serve() error {
	for {
		request, err := r.driver.next()
		if err != nil {
			return err
		}
		if request.Do == "end" {
			return nil
		}
		if err := r.driver.reply(r.answer(request)); err != nil {
			return err
		}
	}
}

func (r *run) answer(request *request) (any, error) {
	if err := r.takeOver(request.Changes); err != nil {
		return nil, err
	}
	if r.isOpen() && slices.Contains(closedOnly, request.Do) {
		return nil, fmt.Errorf("%s needs a store, which mode open does not have", request.Do)
	}
	switch request.Do {
	case "start":
		if r.process != nil {
			return nil, errors.New("the controllers run already")
		}
		if err := r.startProcess(); err != nil {
			return nil, err
		}
		return r.progress(), nil
	case "stop":
		r.stopProcess()
		return r.progress(), nil
	case "request":
		outcome := r.server.handle(request.Method, request.Path, request.ContentType, request.Body)
		return outcomeAndProgress{outcome, r.progress()}, nil
	case "terminate-namespace":
		r.server.terminating[request.Name] = true
		return struct{}{}, nil
	case "deliver":
		if err := r.deliver(request.UpTo); err != nil {
			return nil, err
		}
		return r.progress(), nil
	case "advance":
		if err := r.advance(time.Duration(request.ToMicros) * time.Microsecond); err != nil {
			return nil, err
		}
		return r.settled(), nil
	case "execute":
		return r.execute(request.ID)
	case "reply":
		if r.isOpen() && request.As == "result" {
			if c, known := r.calls[request.ID]; known {
				c.outcome = &outcome{code: request.Code, body: request.Body}
			}
		}
		if err := r.replyToCall(request.ID, request.As); err != nil {
			return nil, err
		}
		return r.progress(), nil
	case "answer":
		outcome, err := r.execute(request.ID)
		if err != nil {
			return nil, err
		}
		if err := r.replyToCall(request.ID, "result"); err != nil {
			return nil, err
		}
		return outcomeAndProgress{*outcome, r.progress()}, nil
	}
	return nil, fmt.Errorf("nobody can do %q during a run", request.Do)
}

func (r *run) now() time.Duration { return time.Since(r.start) }

// advance lets the clock go until `to`, or until a call or an Event is new. Whatever could happen at this instant has happened.
func (r *run) advance(to time.Duration) error {
	if to.Microseconds() < r.now().Microseconds() {
		return fmt.Errorf("it is %d already", r.now().Microseconds())
	}
	for r.now() < to && len(r.ready) == 0 && !r.hasEvents() {
		timer := time.NewTimer(to - r.now())
		select {
		case <-timer.C:
		case <-r.wake:
			timer.Stop()
		}
		r.settle()
	}
	return nil
}

// settle returns when nothing can happen any more without the clock or the other side: all timers of this instant have fired, all
// lists and watches are answered, and whoever can have a token has it.
func (r *run) settle() {
	for {
		synctest.Wait()
		if r.answerFeed() || r.admitArrivals() {
			continue
		}
		// Timers that are due now fire only when the root goroutine waits for time, too.
		<-time.NewTimer(0).C
		synctest.Wait()
		if !r.answerFeed() && !r.admitArrivals() {
			break
		}
	}
	select {
	case <-r.wake:
	default:
	}
}

func (r *run) hasEvents() bool {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	return len(r.posts.fresh) > 0
}

func (r *run) progress() progress {
	r.settle()
	return r.settled()
}

// settled is the progress when everything is settled already.
func (r *run) settled() progress {
	p := progress{nowMicros: r.now().Microseconds()}
	r.mutex.Lock()
	ready, events := r.ready, r.posts.fresh
	r.ready, r.posts.fresh = nil, nil
	r.mutex.Unlock()
	r.sortReady(ready)
	for _, c := range ready {
		r.nextCall++
		c.id = r.nextCall
		r.calls[c.id] = c
	}
	sortEvents(events)
	p.calls, p.events = ready, events
	return p
}

// execute lets a call have its effect; its answer waits for a reply.
func (r *run) execute(id int) (*outcome, error) {
	c, known := r.calls[id]
	if !known {
		return nil, fmt.Errorf("no call has the id %d", id)
	}
	if c.outcome != nil {
		return nil, fmt.Errorf("call %d has been executed", id)
	}
	outcome := r.server.handle(c.method, c.path, c.contentType, c.body)
	c.outcome = &outcome
	return &outcome, nil
}

func (r *run) replyToCall(id int, as string) error {
	c, known := r.calls[id]
	if !known {
		return fmt.Errorf("no call has the id %d", id)
	}
	answer, err := r.answerFor(c, as)
	if err != nil {
		return err
	}
	delete(r.calls, id)
	c.answers <- answer
	return nil
}

// end takes the bubble down: every goroutine in it must have ended.
func (r *run) end() {
	r.stopProcess()
	for _, p := range r.processes {
		p.wait()
	}
	// Some goroutines notice only when their timer fires.
	time.Sleep(time.Minute)
}
