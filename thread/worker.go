package thread

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"
	"slices"
	"sync/atomic"
	"time"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/strand"
)

// A worker is one thread of a pool.
type worker struct {
	p    *Pool
	name string
	s    atomic.Pointer[strand.Strand]
	idle context.Context // to wait under for a job; it does not end

	// Guarded by the pool's mu.
	wait      strand.Wait // while it is idle
	job       tristrand.Job
	running   bool
	abandoned bool
	since     uint64 // the pool's period in which it went idle
	dismissed bool   // idle for too long
}

// newWorker makes a worker, to be started without mu. The caller holds mu.
func (p *Pool) newWorker() *worker {
	w := &worker{p: p, name: fmt.Sprintf("%s-%d", p.Name, p.nextID.Add(1)-1)}
	p.workers[w] = struct{}{}
	if len(p.workers) == 1 && !p.closing {
		registry.Lock()
		if registry.pools == nil {
			registry.pools = make(map[*Pool]struct{})
		}
		registry.pools[p] = struct{}{}
		registry.Unlock()
	}
	return w
}

func (w *worker) start() {
	o := strand.Options{Kind: strand.Worker, Name: w.name, Scheduler: w.p.sched, Label: true}
	strand.Go(&w.p.base, o, func(ctx context.Context) {
		w.s.Store(strand.Current(ctx))
		w.idle = context.WithoutCancel(ctx)
		returned := false
		defer func() { w.leave(returned) }()
		w.run(ctx)
		returned = true
	})
}

// run initialises the worker and runs jobs until there is no more to do. It
// returns with mu held.
func (w *worker) run(ctx context.Context) {
	p := w.p
	if err := w.initialise(ctx); err != nil {
		p.breakDown(ctx, w, err)
		p.mu.Lock()
		return
	}
	p.mu.Lock()
	for {
		j := w.next(ctx) // mu is held
		if j == nil {
			return
		}
		next := j.Run(ctx)
		if !w.done(ctx, j, next) { // mu is held if true
			return
		}
	}
}

func (w *worker) initialise(ctx context.Context) (err error) {
	if w.p.Init == nil {
		return nil
	}
	returned := false
	defer func() {
		if v := recover(); v != nil {
			err = &tristrand.PanicError{Value: v, Stack: debug.Stack(), Task: "pool Init"}
		} else if !returned {
			w.p.breakDown(ctx, w, tristrand.ErrGoexit)
		}
	}()
	err = w.p.Init(ctx)
	returned = true
	return err
}

// spins is how often a worker looks again before it goes idle. A job often
// comes within the microsecond, and a wake-up costs more than that.
const spins = 1

// next takes a job, waiting for one if need be, and unlocks mu. It returns nil,
// with mu held, when the worker shall end.
func (w *worker) next(ctx context.Context) tristrand.Job {
	p := w.p
	for {
		for spun := 0; ; spun++ {
			if p.queue.len() > 0 {
				return w.take()
			}
			if p.closing && len(p.delayed) == 0 || p.broken != nil || w.dismissed {
				return nil
			}
			if spun == spins || p.sched != nil || p.spinning && spun == 0 {
				break
			}
			p.spinning = true // enqueue need not wake anybody
			p.mu.Unlock()
			runtime.Gosched()
			p.mu.Lock()
			p.spinning = false
		}
		w.wait = w.s.Load().NewWait()
		w.since = p.period
		p.idle = append(p.idle, w)
		p.watchIdle()
		p.mu.Unlock()
		_ = w.wait.Park(w.idle, idling{p})
		p.mu.Lock()
	}
}

// take takes the first job and unlocks mu.
func (w *worker) take() tristrand.Job {
	p := w.p
	j := p.queue.pop()
	w.job, w.running = j, true
	p.setBusy(p.busy + 1)
	if len(p.putters) > 0 {
		p.admit()
	}
	p.mu.Unlock()
	return j
}

// admit lets Submits that wait for room go on. The caller holds mu.
func (p *Pool) admit() {
	room := p.bound - p.queue.len() - p.reserved
	for len(p.putters) > 0 && room > 0 {
		n := p.putters[0]
		p.putters[0] = nil
		p.putters = p.putters[1:]
		p.reserved++
		room--
		n.ok = true
		p.mu.Unlock()
		granted := n.w.Grant()
		p.mu.Lock()
		if !granted {
			p.reserved--
			room++
		}
	}
}

// done accounts for a job that has run. It returns false, with mu held, when
// the worker shall end.
func (w *worker) done(ctx context.Context, j tristrand.Job, next tristrand.Next) bool {
	p := w.p
	kept := strand.Current(ctx).Holding()
	p.mu.Lock()
	if w.abandoned {
		return false
	}
	w.job, w.running = nil, false
	p.setBusy(p.busy - 1)
	p.count(next)
	if next.Again {
		p.again(j, next.After)
	}
	if kept == 0 {
		return true
	}
	p.mu.Unlock()
	tristrand.Report(ctx, fmt.Errorf("%v: job %s returned with %d locks held; they are left as if their holder had died", p, j.ID(), kept))
	p.mu.Lock()
	p.stats.Restarts++
	return false
}

func (p *Pool) count(next tristrand.Next) {
	switch {
	case next.Again:
		p.stats.Retried++
	case next.State == tristrand.Succeeded:
		p.stats.Succeeded++
	case next.State == tristrand.Cancelled:
		p.stats.Cancelled++
	default:
		p.stats.Failed++
	}
}

// again queues j after a while, above the bound. The caller holds mu.
func (p *Pool) again(j tristrand.Job, after time.Duration) {
	fire := func() {
		p.mu.Lock()
		if _, ok := p.delayed[j]; !ok {
			p.mu.Unlock()
			return
		}
		delete(p.delayed, j)
		p.enqueue(j) // unlocks
	}
	if p.sched != nil {
		p.delayed[j] = p.sched.After(after, fire)
	} else {
		p.delayed[j] = time.AfterFunc(after, fire).Stop
	}
}

// Abandoned gives up the worker whose job's time is up and lets another take its
// place. Jobs call it.
func (p *Pool) Abandoned(j tristrand.Job, by strand.ID, next tristrand.Next) {
	p.mu.Lock()
	for w := range p.workers {
		if w.job != j || w.s.Load().ID() != by {
			continue
		}
		w.abandoned, w.job, w.running = true, nil, false
		p.setBusy(p.busy - 1)
		delete(p.workers, w)
		p.abandoned[w] = struct{}{}
		p.stats.Restarts++
		break
	}
	p.count(next)
	if next.Again {
		p.again(j, next.After)
	}
	p.replace() // unlocks
}

// replace starts a worker if there is work that none will do, tells Close if the
// last one has gone, and unlocks mu.
func (p *Pool) replace() {
	if p.queue.len() > 0 && len(p.idle) == 0 && len(p.workers) < p.most && p.broken == nil {
		w := p.newWorker()
		p.mu.Unlock()
		w.start()
		return
	}
	var waits []strand.Wait
	if p.closing && p.queue.len() == 0 && len(p.delayed) == 0 {
		for _, w := range p.idle {
			waits = append(waits, w.wait)
		}
		p.idle = nil
	}
	if len(p.workers) == 0 {
		p.unlist()
	}
	var left []strand.Wait
	if p.closing && p.finished() {
		waits = append(waits, p.waits...)
		p.waits = nil
	} else {
		left = slices.Clone(p.waits)
	}
	p.mu.Unlock()
	for _, w := range waits {
		w.Grant()
	}
	for _, w := range left { // there is one worker less to end their wait
		w.Recheck()
	}
}

// finished reports whether nothing is left to do and nobody to do it.
func (p *Pool) finished() bool {
	return len(p.workers) == 0 && p.queue.len() == 0 && len(p.delayed) == 0
}

func (p *Pool) unlist() {
	registry.Lock()
	delete(registry.pools, p)
	registry.Unlock()
}

// leave takes the worker out of the pool, with mu held, or not if its job ended
// the goroutine.
func (w *worker) leave(returned bool) {
	p := w.p
	if !returned {
		p.mu.Lock()
		if w.running {
			p.setBusy(p.busy - 1)
			p.count(tristrand.Next{State: stateOf(w.job)})
			p.stats.Restarts++
		}
	}
	w.job, w.running = nil, false
	delete(p.workers, w)
	delete(p.abandoned, w)
	p.replace() // unlocks
}

// stateOf returns what has become of a job that ended its goroutine: a function
// given to OnDone may have done so after the job had succeeded.
func stateOf(j tristrand.Job) tristrand.FutureState {
	if f, ok := j.(interface{ State() tristrand.FutureState }); ok {
		return f.State()
	}
	return tristrand.Failed
}

// breakDown fails everything that waits, because a worker cannot be made.
func (p *Pool) breakDown(ctx context.Context, w *worker, cause error) {
	err := fmt.Errorf("%w: %v is broken: Init of worker %s: %w", tristrand.ErrClosed, p, w.name, cause)
	tristrand.Report(ctx, err)
	p.mu.Lock()
	p.broken = err
	jobs, idle := p.drop(), p.idle
	p.idle = nil
	p.stats.Failed += uint64(len(jobs))
	putters := p.putters
	p.putters = nil
	p.mu.Unlock()
	for _, j := range jobs {
		j.Finish(nil, err)
	}
	for _, x := range idle {
		x.wait.Grant()
	}
	for _, n := range putters {
		n.w.Grant()
	}
}

// drop empties the queue and what waits for another try. The caller holds mu.
func (p *Pool) drop() []tristrand.Job {
	var jobs []tristrand.Job
	for p.queue.len() > 0 {
		jobs = append(jobs, p.queue.pop())
	}
	for j, stop := range p.delayed {
		stop()
		jobs = append(jobs, j)
	}
	clear(p.delayed)
	return jobs
}

// watchIdle sees to it that idle workers are let go in time: those that have
// been idle for a whole period of the idle time-out. The caller holds mu.
func (p *Pool) watchIdle() {
	switch {
	case p.reaping || p.IdleTimeout < 0 || p.sched != nil:
		return
	case p.reaper == nil:
		p.reaper = time.AfterFunc(p.idleTimeout(), p.reap)
	default:
		p.reaper.Reset(p.idleTimeout())
	}
	p.reaping = true
}

// stopReaper is called when nobody is idle any more. A timer that is pending
// costs every switch of goroutines a look at the clock, 40 ns. The caller holds
// mu.
func (p *Pool) stopReaper() {
	if p.reaping {
		p.reaper.Stop()
		p.reaping = false
	}
}

func (p *Pool) idleTimeout() time.Duration {
	if p.IdleTimeout == 0 {
		return defaultIdleTimeout
	}
	return p.IdleTimeout
}

// reap dismisses the workers that have been idle since before this period.
func (p *Pool) reap() {
	p.mu.Lock()
	if !p.reaping { // stopped at the last moment
		p.mu.Unlock()
		return
	}
	p.reaping = false
	keep := slices.IndexFunc(p.idle, func(w *worker) bool { return w.since == p.period })
	if keep < 0 {
		keep = len(p.idle)
	}
	p.period++
	gone := slices.Clone(p.idle[:keep])
	p.idle = slices.Delete(p.idle, 0, keep)
	for _, w := range gone {
		w.dismissed = true
	}
	if len(p.idle) > 0 {
		p.watchIdle()
	}
	p.mu.Unlock()
	for _, w := range gone {
		w.wait.Grant()
	}
}

// idling is what an idle worker waits for: anyone could submit.
type idling struct{ p *Pool }

func (i idling) String() string { return "a job of " + i.p.String() }

func (idling) Releasers(buf []strand.Releaser) ([]strand.Releaser, bool) { return buf, false }
