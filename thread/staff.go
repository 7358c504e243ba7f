package thread

import (
	"fmt"
	"slices"
	"time"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/internal/crew"
	"github.com/tristrand/tristrand/strand"
)

// placed wakes or starts a worker for a job that was queued, and unlocks Mu.
func (p *Pool) placed() {
	c := &p.crew
	if p.looking && c.Queue.Len() == 1 {
		c.Mu.Unlock()
		return
	}
	if n := len(p.idle); n > 0 {
		w := p.idle[n-1]
		p.idle[n-1] = nil
		if p.idle = p.idle[:n-1]; n == 1 {
			p.stopReaper()
		}
		c.Mu.Unlock()
		w.wait.Grant()
		return
	}
	var w *worker
	if len(c.Workers) < c.Most {
		w = p.newWorker()
	}
	c.Mu.Unlock()
	if w != nil {
		w.start()
	}
}

func (p *Pool) after(d time.Duration, fn func()) (stop func() bool) {
	if p.sched != nil {
		return p.sched.After(d, fn)
	}
	return time.AfterFunc(d, fn).Stop
}

// changed sees to it that work that is left has workers, that idle ones end when
// there will be none, and that those who wait for the last one are told. It is
// called with Mu held, and unlocks it.
func (p *Pool) changed() {
	c := &p.crew
	if c.Queue.Len() > 0 && len(p.idle) == 0 && len(c.Workers) < c.Most && c.Broken == nil {
		w := p.newWorker()
		c.Mu.Unlock()
		w.start()
		return
	}
	var idle []*worker
	if c.Closing && c.Idle() {
		idle, p.idle = p.idle, nil
		p.stopReaper()
	}
	if c.Closing || len(c.Workers) == 0 && c.Idle() { // else there are tries to come
		p.unlist()
	}
	over, left := c.Gone()
	c.Mu.Unlock()
	wake(idle)
	crew.Grant(over)
	crew.Recheck(left)
}

func wake(idle []*worker) {
	for _, w := range idle {
		w.wait.Grant()
	}
}

func (p *Pool) unlist() {
	registry.Lock()
	delete(registry.pools, p)
	registry.Unlock()
}

// breakDown fails everything that waits, because a worker cannot be made.
func (p *Pool) breakDown(w *worker, cause error) {
	c := &p.crew
	err := fmt.Errorf("%w: %v is broken: Init of worker %s: %w", tristrand.ErrClosed, p, w.Name, cause)
	tristrand.Report(w.Context, err)
	c.Mu.Lock()
	c.Broken = err
	jobs, idle, putters := c.Drop(), p.idle, c.Room.Shut()
	p.idle = nil
	c.Stats.Failed += uint64(len(jobs))
	c.Mu.Unlock()
	for _, j := range jobs {
		j.Finish(nil, err)
	}
	wake(idle)
	crew.Grant(putters)
}

// watchIdle sees to it that idle workers are let go in time: those that have
// been idle for a whole period of the idle time-out. The caller holds Mu.
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
// Mu.
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
	p.crew.Mu.Lock()
	if !p.reaping { // stopped at the last moment
		p.crew.Mu.Unlock()
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
	p.crew.Mu.Unlock()
	wake(gone)
}

// idling is what an idle worker waits for: anyone could submit.
type idling struct{ p *Pool }

func (i idling) String() string { return "a job of " + i.p.String() }

func (idling) Releasers(buf []strand.Releaser) ([]strand.Releaser, bool) { return buf, false }
