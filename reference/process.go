package reference

import (
	"context"
	"sync"
	"time"

	"golang.org/x/time/rate"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"
	"k8s.io/kubernetes/pkg/controller/ttlafterfinished"
)

// process is one life of the controllers' process.
type process struct {
	cancel  context.CancelFunc
	dead    chan struct{}
	running sync.WaitGroup
	factory informers.SharedInformerFactory
	feed    *feed
	latch   latch
	cleanUp func()
}

// resyncPeriod is longer than any run; 0 would make older reflectors wait on a channel that the bubble does not know.
const resyncPeriod = 1_000_000 * time.Hour

// ttlWorkers is the default of the controller manager.
const ttlWorkers = 5

// startProcess starts the controllers and waits until their informers have their lists. The caches are not found synced before the
// next look at them, 100 ms later, because the first look finds the lists unanswered.
func (r *run) startProcess() error {
	ctx, cancel := context.WithCancel(klog.NewContext(context.Background(), klog.Logger{}))
	p := &process{cancel: cancel, dead: make(chan struct{})}
	p.feed = newFeed(r, p)
	clients := map[string]kubernetes.Interface{}
	for _, controller := range []string{"job", "ttl"} {
		client, err := kubernetes.NewForConfig(r.clientConfig(p, controller))
		if err != nil {
			cancel()
			return err
		}
		clients[controller] = client
	}
	feedClient, err := kubernetes.NewForConfig(clientConfig(p.feed))
	if err != nil {
		cancel()
		return err
	}
	p.factory = informers.NewSharedInformerFactory(feedClient, resyncPeriod)
	pods := orderedPods{p.factory.Core().V1().Pods(), &p.latch}
	jobs := orderedJobs{p.factory.Batch().V1().Jobs(), &p.latch}

	r.process = p
	r.processes = append(r.processes, p)
	jobController, err := newJobController(ctx, clients["job"], pods, jobs, p.factory)
	if err != nil {
		r.stopProcess()
		return err
	}
	ttlController := ttlafterfinished.New(ctx, jobs, clients["ttl"])
	p.cleanUp = func() { shutDownRecorder(ttlController) }
	p.latch.close()
	p.factory.Start(ctx.Done())
	p.running.Go(func() { jobController.Run(ctx, r.options.Workers) })
	p.running.Go(func() { ttlController.Run(ctx, ttlWorkers) })
	r.settle()
	p.latch.openInitial()
	r.settle()
	return nil
}

// stopProcess ends the process. What it has sent can still be executed; it hears of nothing, and nothing is heard of it.
func (r *run) stopProcess() {
	p := r.process
	if p == nil {
		return
	}
	r.process = nil
	close(p.dead)
	p.cancel()
	r.settle()
	r.mutex.Lock()
	r.posts.fresh = nil
	r.mutex.Unlock()
}

// wait returns when the controllers have noticed that they are to end.
func (p *process) wait() {
	p.running.Wait()
	p.factory.Shutdown()
	if p.cleanUp != nil {
		p.cleanUp()
	}
}

func (p *process) isDead() bool {
	select {
	case <-p.dead:
		return true
	default:
		return false
	}
}

func (r *run) clientConfig(p *process, controller string) *rest.Config {
	transport := &clientTransport{run: r, process: p, controller: controller}
	if r.options.QPS != nil {
		transport.bucket = rate.NewLimiter(rate.Limit(*r.options.QPS), r.options.Burst)
	}
	return clientConfig(transport)
}
