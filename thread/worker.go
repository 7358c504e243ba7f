package thread

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/strand"
)

// A worker is one thread of a pool. It is also the ctx that it runs jobs with.
type worker struct {
	context.Context                 //nolint:containedctx // of its strand; set before its first job
	s               *strand.Strand  // likewise
	idle            context.Context //nolint:containedctx // to wait under for a job; it does not end
	p               *Pool
	name            string

	// Guarded by the pool's mu.
	wait      strand.Wait // while it is idle
	job       tristrand.Job
	looking   bool // the pool is told that it will look for a job before it waits
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
		w.Context, w.s, w.idle = ctx, strand.Current(ctx), context.WithoutCancel(ctx)
		returned := false
		defer func() { w.leave(returned) }()
		w.run()
		returned = true
	})
}

// run initialises the worker and runs jobs until there is no more to do. It
// returns with mu held.
func (w *worker) run() {
	if err := w.initialise(); err != nil {
		w.p.breakDown(w, err)
		w.p.mu.Lock()
		return
	}
	w.p.mu.Lock()
	for {
		j := w.next()
		if j == nil {
			return
		}
		next := j.Run(w)
		if w.looking && w.s.Holding() == 0 { // Settled has done it all
			runtime.Gosched()
			w.p.mu.Lock()
		} else if !w.done(j, next) {
			return
		}
	}
}

func (w *worker) initialise() (err error) {
	if w.p.Init == nil {
		return nil
	}
	returned := false
	defer func() {
		if v := recover(); v != nil {
			err = &tristrand.PanicError{Value: v, Stack: debug.Stack(), Task: "pool Init"}
		} else if !returned {
			w.p.breakDown(w, tristrand.ErrGoexit)
		}
	}()
	err = w.p.Init(w.Context)
	returned = true
	return err
}

// next takes a job, waiting for one if need be. It is called with mu held and
// unlocks it, unless it returns nil: the worker shall end.
func (w *worker) next() tristrand.Job {
	p := w.p
	for {
		// A job often comes within the microsecond, and to be woken costs more
		// than that, so a worker looks once more before it goes idle.
		if p.queue.Len() == 0 && p.sched == nil && !p.looking {
			w.look()
		}
		w.looked()
		switch {
		case p.queue.Len() > 0:
			return w.take()
		case p.closing && len(p.delayed) == 0, p.broken != nil, w.dismissed:
			return nil
		}
		w.wait = w.s.NewWait()
		w.since = p.period
		p.idle = append(p.idle, w)
		p.watchIdle()
		p.mu.Unlock()
		_ = w.wait.Park(w.idle, idling{p})
		p.mu.Lock()
	}
}

// look lets others run, one of whom may submit a job; nobody need be woken for
// it meanwhile. The caller holds mu, before and after.
func (w *worker) look() {
	w.looking, w.p.looking = true, true
	w.p.mu.Unlock()
	runtime.Gosched()
	w.p.mu.Lock()
}

func (w *worker) looked() {
	if w.looking {
		w.looking, w.p.looking = false, false
	}
}

// take takes the first job and unlocks mu.
func (w *worker) take() tristrand.Job {
	p := w.p
	j := p.queue.Pop()
	w.job = j
	p.setBusy(p.busy + 1)
	if len(p.putters) > 0 {
		p.admit()
	}
	p.mu.Unlock()
	return j
}

// Settled accounts for a job that somebody waits for before they are woken, so
// that what they submit next finds this worker looking for it.
func (w *worker) Settled(_ tristrand.Job, next tristrand.Next) {
	p := w.p
	p.mu.Lock()
	if !w.abandoned {
		w.settle(next)
		if p.queue.Len() == 0 && !p.looking && p.sched == nil && w.s.Holding() == 0 {
			w.looking, p.looking = true, true
		}
	}
	p.mu.Unlock()
}

// settle counts the job that w has run. The caller holds mu.
func (w *worker) settle(next tristrand.Next) {
	w.job = nil
	w.p.setBusy(w.p.busy - 1)
	w.p.count(next)
}

// done accounts for a job whose Run has returned. It returns, with mu held,
// whether the worker can go on.
func (w *worker) done(j tristrand.Job, next tristrand.Next) bool {
	p := w.p
	kept := w.s.Holding()
	p.mu.Lock()
	for next.State == tristrand.Running && !w.abandoned { // the job's time was up, just now
		p.mu.Unlock()
		runtime.Gosched()
		p.mu.Lock()
	}
	if w.abandoned {
		return false
	}
	if w.job != nil { // not yet Settled
		w.settle(next)
	}
	if next.Again {
		p.again(j, next.After)
	}
	if kept == 0 {
		return true
	}
	p.mu.Unlock()
	tristrand.Report(w, fmt.Errorf("%v: job %s returned with %d locks held; they are left as if their holder had died", p, j.ID(), kept))
	p.mu.Lock()
	p.stats.Restarts++
	return false
}

// Abandoned gives the worker up, as its job's time is up, and lets another take
// its place.
func (w *worker) Abandoned(j tristrand.Job, next tristrand.Next) {
	p := w.p
	p.mu.Lock()
	w.abandoned = true
	w.settle(next)
	delete(p.workers, w)
	p.abandoned[w] = struct{}{}
	p.stats.Restarts++
	if next.Again {
		p.again(j, next.After)
	}
	p.replace() // unlocks
}

// leave takes the worker out of the pool. It is called with mu held, or without
// if the goroutine was ended: by the job's function, by one given to OnDone, or
// by Init.
func (w *worker) leave(returned bool) {
	p := w.p
	if !returned {
		p.mu.Lock()
		for w.job != nil && w.job.State() == tristrand.Running { // as in done
			p.mu.Unlock()
			runtime.Gosched()
			p.mu.Lock()
		}
		if w.job != nil {
			w.settle(tristrand.Next{State: w.job.State()})
		}
		p.stats.Restarts++
	}
	w.looked()
	delete(p.workers, w)
	delete(p.abandoned, w)
	p.replace() // unlocks
}
