// Package crew is what the pools of several engines have in common.
//
// Room and Ending are for any pool: who waits for room in its queue, and who for its
// end. A Crew is all of a pool whose workers are strands of this process, but for
// where they come from and where they wait for a job.
package crew

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/internal/backlog"
	"github.com/tristrand/tristrand/strand"
)

// A Crew is the queue of a pool and the workers that run its jobs. The fields of the
// first part are set before anything else, and stay.
type Crew struct {
	Name  string          // of the pool, begins those of the workers
	On    strand.Resource // the pool: what waits for room waits for it
	Most  int             // workers at a time
	Base  strand.Context  // of the workers; ends when what runs shall stop
	Grace time.Duration   // of Close, as in Drain

	// Accept, if it is not nil, may refuse a job that there is room for. It is called
	// with Mu.
	Accept func(ctx context.Context) error

	// Placed finds a worker for a job that was queued. It is called with Mu, and
	// unlocks it.
	Placed func()

	// Changed is called when work has been dropped or a worker has gone: it sees to it
	// that work that is left has workers. It is called with Mu, and unlocks it.
	Changed func()

	// After calls fn after d.
	After func(d time.Duration, fn func()) (stop func() bool)

	nextID atomic.Uint64
	full   atomic.Bool // busy == Most; written under Mu

	Mu        sync.Mutex // guards the rest
	Queue     backlog.Queue[tristrand.Job]
	Room      Room
	Ending    Ending
	Workers   map[*Worker]struct{}
	Closing   bool
	Broken    error // why no worker can be made
	Stats     tristrand.Stats
	busy      int
	abandoned map[*Worker]struct{}
	delayed   map[tristrand.Job]func() bool // to be tried again; the stop of their timers
}

// Init makes the crew ready, with room for bound jobs in its queue.
func (c *Crew) Init(bound int) {
	c.Base.Init(context.Background())
	c.Base.Bind(strand.Named(context.Background()), time.Time{})
	c.Room.Bound = bound
	c.Workers = make(map[*Worker]struct{})
	c.abandoned = make(map[*Worker]struct{})
	c.delayed = make(map[tristrand.Job]func() bool)
}

// Submit hands j over and waits under ctx while the queue is full.
func (c *Crew) Submit(ctx context.Context, j tristrand.Job) error {
	s := strand.Enter(ctx, strand.Op{Verb: "submit", On: c.On, Write: true})
	c.Mu.Lock()
	if !c.room() {
		if err := c.Room.Await(ctx, &c.Mu, s, c.On); err != nil {
			return err
		}
	}
	return c.accept(ctx, j)
}

// TrySubmit is Submit that returns ErrFull instead of waiting.
func (c *Crew) TrySubmit(ctx context.Context, j tristrand.Job) error {
	strand.Enter(ctx, strand.Op{Verb: "trysubmit", On: c.On, Write: true})
	c.Mu.Lock()
	if !c.room() {
		c.Mu.Unlock()
		return fmt.Errorf("%w: %v: %d jobs wait", tristrand.ErrFull, c.On, c.Room.Bound)
	}
	return c.accept(ctx, j)
}

// room reports whether a job can be accepted or refused at once. The caller holds Mu.
func (c *Crew) room() bool {
	return c.Closing || c.Broken != nil || c.Room.Free(c.Queue.Len())
}

// accept queues j and finds a worker for it. It unlocks Mu.
func (c *Crew) accept(ctx context.Context, j tristrand.Job) error {
	if err := c.refusal(ctx); err != nil {
		c.Mu.Unlock()
		return err
	}
	c.Stats.Submitted++
	c.Queue.Push(j, j.Limits().Priority)
	c.Placed() // unlocks
	return nil
}

func (c *Crew) refusal(ctx context.Context) error {
	switch {
	case c.Broken != nil:
		return c.Broken
	case c.Closing:
		return fmt.Errorf("%w: %v", tristrand.ErrClosed, c.On)
	case c.Accept != nil:
		return c.Accept(ctx)
	default:
		return nil
	}
}

// Counts returns the counts at one moment.
func (c *Crew) Counts() tristrand.Stats {
	c.Mu.Lock()
	defer c.Mu.Unlock()
	st := c.Stats
	st.Workers, st.Busy = len(c.Workers), c.busy
	st.Queued, st.QueueCap = c.Queue.Len(), c.Room.Bound
	st.Abandoned = len(c.abandoned)
	return st
}

// setBusy counts the workers that run a job. The caller holds Mu.
func (c *Crew) setBusy(n int) {
	if c.busy == c.Most || n == c.Most {
		c.full.Store(n == c.Most)
	}
	c.busy = n
}

// Releasers returns the workers, when all of them are busy: only they can make room,
// or start a job that is queued.
func (c *Crew) Releasers(buf []strand.Releaser) ([]strand.Releaser, bool) {
	if !c.full.Load() { // as is usual
		return buf, false
	}
	c.Mu.Lock()
	defer c.Mu.Unlock()
	if c.Broken != nil || len(c.delayed) > 0 {
		return buf, false
	}
	for w := range c.Workers {
		if w.job == nil {
			return buf, false
		}
		buf = append(buf, strand.Releaser{Ref: w.Strand.Ref()})
	}
	return buf, len(c.Workers) > 0
}

// Idle reports whether there is nothing to do, now or later. The caller holds Mu.
func (c *Crew) Idle() bool { return c.Queue.Len() == 0 && len(c.delayed) == 0 }

// Finished reports whether there is nothing to do, and nobody to do it. The caller
// holds Mu.
func (c *Crew) Finished() bool { return len(c.Workers) == 0 && c.Idle() }

// again queues j after a while, above the bound. The caller holds Mu.
func (c *Crew) again(j tristrand.Job, after time.Duration) {
	c.delayed[j] = c.After(after, func() {
		c.Mu.Lock()
		if _, ok := c.delayed[j]; !ok {
			c.Mu.Unlock()
			return
		}
		delete(c.delayed, j)
		c.Queue.Push(j, j.Limits().Priority)
		c.Placed() // unlocks
	})
}

// Drop empties the queue and what waits for another try. The caller holds Mu.
func (c *Crew) Drop() []tristrand.Job {
	var jobs []tristrand.Job
	for c.Queue.Len() > 0 {
		jobs = append(jobs, c.Queue.Pop())
	}
	for j, stop := range c.delayed {
		stop()
		jobs = append(jobs, j)
	}
	clear(c.delayed)
	return jobs
}

// Count counts what has become of a job.
func Count(st *tristrand.Stats, next tristrand.Next) {
	switch {
	case next.Again:
		st.Retried++
	case next.State == tristrand.Succeeded:
		st.Succeeded++
	case next.State == tristrand.Cancelled:
		st.Cancelled++
	default:
		st.Failed++
	}
}
