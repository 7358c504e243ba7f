package thread

import (
	"context"
	"runtime"
	"runtime/debug"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/internal/crew"
	"github.com/tristrand/tristrand/strand"
)

// A worker is one thread of a pool.
type worker struct {
	crew.Worker

	idle context.Context //nolint:containedctx // to wait under for a job; it does not end
	p    *Pool

	// Guarded by the crew's Mu.
	wait      strand.Wait // while it is idle
	looking   bool        // the pool is told that it will look for a job before it waits
	since     uint64      // the pool's period in which it went idle
	dismissed bool        // idle for too long
}

// newWorker makes a worker, to be started without Mu. The caller holds Mu.
func (p *Pool) newWorker() *worker {
	w := &worker{p: p}
	p.crew.Hire(&w.Worker)
	if len(p.crew.Workers) == 1 && !p.crew.Closing {
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
	w.Start(strand.Options{Kind: strand.Worker, Scheduler: w.p.sched, Label: true}, w.run, w.looked)
}

// run initialises the worker and runs jobs until there is no more to do. It
// returns with Mu held.
func (w *worker) run() {
	w.idle = context.WithoutCancel(w.Context)
	mu := &w.p.crew.Mu
	if err := w.initialise(); err != nil {
		w.p.breakDown(w, err)
		mu.Lock()
		return
	}
	mu.Lock()
	for {
		j := w.next()
		if j == nil {
			return
		}
		next := j.Run(w)
		if w.looking && w.Strand.Holding() == 0 { // Settled has done it all
			runtime.Gosched()
			mu.Lock()
		} else if !w.Ran(j, next) {
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

// next takes a job, waiting for one if need be. It is called with Mu held and
// unlocks it, unless it returns nil: the worker shall end.
func (w *worker) next() tristrand.Job {
	p, c := w.p, &w.p.crew
	for {
		// A job often comes within the microsecond, and to be woken costs more
		// than that, so a worker looks once more before it goes idle.
		if c.Queue.Len() == 0 && p.sched == nil && !p.looking {
			w.look()
		}
		w.looked()
		switch {
		case c.Queue.Len() > 0:
			j := w.Take()
			c.Mu.Unlock()
			return j
		case c.Closing && c.Idle(), c.Broken != nil, w.dismissed:
			return nil
		}
		w.wait = w.Strand.NewWait()
		w.since = p.period
		p.idle = append(p.idle, w)
		p.watchIdle()
		c.Mu.Unlock()
		_ = w.wait.Park(w.idle, idling{p})
		c.Mu.Lock()
	}
}

// look lets others run, one of whom may submit a job; nobody need be woken for
// it meanwhile. The caller holds Mu, before and after.
func (w *worker) look() {
	w.looking, w.p.looking = true, true
	w.p.crew.Mu.Unlock()
	runtime.Gosched()
	w.p.crew.Mu.Lock()
}

func (w *worker) looked() {
	if w.looking {
		w.looking, w.p.looking = false, false
	}
}

// Settled accounts for a job that somebody waits for before they are woken, so
// that what they submit next finds this worker looking for it.
func (w *worker) Settled(_ tristrand.Job, next tristrand.Next) {
	p, c := w.p, &w.p.crew
	c.Mu.Lock()
	if w.Settle(next) && c.Queue.Len() == 0 && !p.looking && p.sched == nil && w.Strand.Holding() == 0 {
		w.looking, p.looking = true, true
	}
	c.Mu.Unlock()
}
