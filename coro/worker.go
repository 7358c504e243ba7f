package coro

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"time"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/strand"
)

// A worker is a coroutine that runs jobs of a pool until none is queued. It is
// also the ctx that it runs them with.
type worker struct {
	context.Context                //nolint:containedctx // of its strand; set before its first job
	s               *strand.Strand // likewise
	p               *Pool
	name            string

	// Guarded by the pool's mu.
	job       tristrand.Job
	abandoned bool
}

// newWorker makes a worker, to be started without mu. The caller holds mu.
func (p *Pool) newWorker() *worker {
	w := &worker{p: p, name: fmt.Sprintf("%s-%d", p.Name, p.nextID.Add(1)-1)}
	p.workers[w] = struct{}{}
	return w
}

func (w *worker) start() {
	o := strand.Options{Kind: strand.Coroutine, Name: w.name, Scheduler: w.p.hub}
	strand.Go(&w.p.base, o, func(ctx context.Context) {
		w.Context, w.s = ctx, strand.Current(ctx)
		returned := false
		defer func() { w.leave(returned) }()
		w.run()
		returned = true
	})
}

// run runs jobs until none is queued. It returns with mu held.
func (w *worker) run() {
	p := w.p
	p.mu.Lock()
	for p.queue.Len() > 0 {
		j := p.queue.Pop()
		w.job = j
		p.setBusy(p.busy + 1)
		if len(p.putters) > 0 {
			p.admit()
		}
		p.mu.Unlock()
		if next := j.Run(w); !w.done(j, next) {
			return
		}
	}
}

// Settled accounts for a job that somebody waits for before they are woken.
func (w *worker) Settled(_ tristrand.Job, next tristrand.Next) {
	p := w.p
	p.mu.Lock()
	if !w.abandoned {
		w.settle(next)
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
// if the goroutine was ended: by the job's function, or by one given to OnDone.
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
	delete(p.workers, w)
	delete(p.abandoned, w)
	p.replace() // unlocks
}

// admit lets Submits that wait for room go on. The caller holds mu.
func (p *Pool) admit() {
	room := p.bound - p.queue.Len() - p.reserved
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
	p.delayed[j] = p.hub.After(after, func() {
		p.mu.Lock()
		if _, ok := p.delayed[j]; !ok {
			p.mu.Unlock()
			return
		}
		delete(p.delayed, j)
		p.enqueue(j) // unlocks
	})
}

// replace sees to it that work that is left has workers and that those who wait
// for the last one are told. It is called when a worker has gone, and unlocks mu.
func (p *Pool) replace() {
	if p.queue.Len() > 0 && len(p.workers) < p.most {
		w := p.newWorker()
		p.mu.Unlock()
		w.start()
		return
	}
	var wake, left []strand.Wait
	over := p.closing && p.finished()
	if over {
		wake = p.waits
		p.waits = nil
	} else {
		left = slices.Clone(p.waits)
	}
	p.mu.Unlock()
	if over {
		p.dismiss()
	}
	for _, w := range wake {
		w.Grant()
	}
	for _, w := range left { // there is one worker less to end their wait
		w.Recheck()
	}
}

// finished reports whether nothing is left to do and nobody to do it.
func (p *Pool) finished() bool {
	return len(p.workers) == 0 && p.queue.Len() == 0 && len(p.delayed) == 0
}

// drop empties the queue and what waits for another try. The caller holds mu.
func (p *Pool) drop() []tristrand.Job {
	var jobs []tristrand.Job
	for p.queue.Len() > 0 {
		jobs = append(jobs, p.queue.Pop())
	}
	for j, stop := range p.delayed {
		stop()
		jobs = append(jobs, j)
	}
	clear(p.delayed)
	return jobs
}
