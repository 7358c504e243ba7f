package coro

import (
	"context"
	"fmt"
	"time"

	"github.com/tristrand/tristrand/internal/crew"
	"github.com/tristrand/tristrand/strand"
)

// A worker is a coroutine that runs jobs of a pool until none is queued.
type worker struct {
	crew.Worker

	p *Pool
}

// newWorker makes a worker, to be started without Mu. The caller holds Mu.
func (p *Pool) newWorker() *worker {
	w := &worker{p: p}
	p.crew.Hire(&w.Worker)
	return w
}

func (w *worker) start() {
	w.Start(strand.Options{Kind: strand.Coroutine, Scheduler: w.p.hub}, w.run, nil)
}

// run runs jobs until none is queued. It returns with Mu held.
func (w *worker) run() {
	c := &w.p.crew
	c.Mu.Lock()
	for c.Queue.Len() > 0 {
		j := w.Take()
		c.Mu.Unlock()
		if next := j.Run(w); !w.Ran(j, next) {
			return
		}
	}
}

// accept refuses a job whose hub has ended, and starts the pool's own at the first
// job. The caller holds Mu.
func (p *Pool) accept(ctx context.Context) error {
	if p.hub.over.Load() {
		return fmt.Errorf("%w: %v: its hub", ErrHubEnded, p)
	}
	if !p.mine || p.hub.ran.Swap(true) {
		return nil
	}
	root := new(strand.Context) // has the caller's scheduler, and neither its values nor its end
	root.Init(context.Background())
	root.Bind(strand.Named(ctx), time.Time{})
	p.hub.begin(root, func() {})
	return nil
}

// dismiss ends the pool's own hub once its coroutines have ended.
func (p *Pool) dismiss() {
	if p.mine && p.hub.ran.Load() && !p.hub.ending.Swap(true) {
		p.hub.post(entry{do: func() {}})
	}
}

// placed starts a worker for a job that was queued, if there may be one more, and
// unlocks Mu.
func (p *Pool) placed() {
	var w *worker
	if len(p.crew.Workers) < p.crew.Most {
		w = p.newWorker()
	}
	p.crew.Mu.Unlock()
	if w != nil {
		w.start()
	}
}

func (p *Pool) after(d time.Duration, fn func()) (stop func() bool) { return p.hub.After(d, fn) }

// changed sees to it that work that is left has workers, and that those who wait
// for the last one are told. It is called with Mu held, and unlocks it.
func (p *Pool) changed() {
	c := &p.crew
	if c.Queue.Len() > 0 && len(c.Workers) < c.Most {
		p.placed() // unlocks
		return
	}
	over, left := c.Gone()
	ended := c.Closing && c.Finished()
	c.Mu.Unlock()
	if ended {
		p.dismiss()
	}
	crew.Grant(over)
	crew.Recheck(left)
}
