package crew

import (
	"context"
	"fmt"
	"runtime"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/strand"
)

// A Worker is a strand that runs jobs of a crew, one after another. It is also the
// ctx that it runs them with.
type Worker struct {
	context.Context                //nolint:containedctx // of its strand; set before its first job
	Strand          *strand.Strand // likewise
	Name            string

	crew *Crew

	// Guarded by the crew's Mu.
	job     tristrand.Job
	givenUp bool
}

var _ tristrand.Worker = (*Worker)(nil)

// Hire makes w, which is new, one of the crew, to be started without Mu. The caller
// holds Mu.
func (c *Crew) Hire(w *Worker) {
	w.crew, w.Name = c, fmt.Sprintf("%s-%d", c.Name, c.nextID.Add(1)-1)
	c.Workers[w] = struct{}{}
}

// Start starts w, which calls run and has left the crew when run returns, with Mu
// held, or ends its goroutine. left is called with Mu held, too; it may be nil.
func (w *Worker) Start(o strand.Options, run, left func()) {
	o.Name = w.Name
	strand.Go(&w.crew.Base, o, func(ctx context.Context) {
		w.Context, w.Strand = ctx, strand.Current(ctx)
		returned := false
		defer func() { w.leave(returned, left) }()
		run()
		returned = true
	})
}

// Take takes the first job of the queue. The caller holds Mu, which may be given up
// meanwhile.
func (w *Worker) Take() tristrand.Job {
	c := w.crew
	j := c.Queue.Pop()
	w.job = j
	c.setBusy(c.busy + 1)
	for c.Room.Wanted(c.Queue.Len()) {
		c.Room.Admit(&c.Mu)
	}
	return j
}

// Settled accounts for a job that somebody waits for before they are woken.
func (w *Worker) Settled(_ tristrand.Job, next tristrand.Next) {
	w.crew.Mu.Lock()
	w.Settle(next)
	w.crew.Mu.Unlock()
}

// Settle counts the job that w has run, and reports whether w is still one of the
// crew. The caller holds Mu.
func (w *Worker) Settle(next tristrand.Next) bool {
	if w.givenUp {
		return false
	}
	w.job = nil
	w.crew.setBusy(w.crew.busy - 1)
	Count(&w.crew.Stats, next)
	return true
}

// Ran accounts for a job whose Run has returned. It returns, with Mu held, whether
// the worker can go on.
func (w *Worker) Ran(j tristrand.Job, next tristrand.Next) bool {
	c := w.crew
	kept := w.Strand.Holding()
	c.Mu.Lock()
	for next.State == tristrand.Running && !w.givenUp { // the job's time was up, just now
		c.Mu.Unlock()
		runtime.Gosched()
		c.Mu.Lock()
	}
	if w.givenUp {
		return false
	}
	if w.job != nil { // not yet Settled
		w.Settle(next)
	}
	if next.Again {
		c.again(j, next.After)
	}
	if kept == 0 {
		return true
	}
	c.Mu.Unlock()
	tristrand.Report(w, fmt.Errorf("%v: job %s returned with %d locks held; they are left as if their holder had died", c.On, j.ID(), kept))
	c.Mu.Lock()
	c.Stats.Restarts++
	return false
}

// Abandoned gives the worker up, as its job's time is up, and lets another take its
// place.
func (w *Worker) Abandoned(j tristrand.Job, next tristrand.Next) {
	c := w.crew
	c.Mu.Lock()
	w.Settle(next)
	w.givenUp = true
	delete(c.Workers, w)
	c.abandoned[w] = struct{}{}
	c.Stats.Restarts++
	if next.Again {
		c.again(j, next.After)
	}
	c.Changed() // unlocks
}

// leave takes the worker out of the crew. It is called with Mu held, or without if
// the goroutine was ended: by the job's function, by one given to OnDone, or by what
// the engine calls before.
func (w *Worker) leave(returned bool, left func()) {
	c := w.crew
	if !returned {
		c.Mu.Lock()
		for w.job != nil && w.job.State() == tristrand.Running { // as in Ran
			c.Mu.Unlock()
			runtime.Gosched()
			c.Mu.Lock()
		}
		if w.job != nil {
			w.Settle(tristrand.Next{State: w.job.State()})
		}
		c.Stats.Restarts++
	}
	if left != nil {
		left()
	}
	delete(c.Workers, w)
	delete(c.abandoned, w)
	c.Changed() // unlocks
}
