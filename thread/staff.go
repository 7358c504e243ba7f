package thread

import (
	"fmt"
	"slices"
	"time"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/strand"
)

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

// replace sees to it that work that is left has workers and that those who wait
// for the last one are told. It is called when a worker has gone, and unlocks mu.
func (p *Pool) replace() {
	if p.queue.Len() > 0 && len(p.idle) == 0 && len(p.workers) < p.most && p.broken == nil {
		w := p.newWorker()
		p.mu.Unlock()
		w.start()
		return
	}
	var wake, left []strand.Wait
	if p.closing && p.queue.Len() == 0 && len(p.delayed) == 0 {
		for _, w := range p.idle {
			wake = append(wake, w.wait)
		}
		p.idle = nil
	}
	if len(p.workers) == 0 {
		p.unlist()
	}
	if p.closing && p.finished() {
		wake = append(wake, p.waits...)
		p.waits = nil
	} else {
		left = slices.Clone(p.waits)
	}
	p.mu.Unlock()
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

func (p *Pool) unlist() {
	registry.Lock()
	delete(registry.pools, p)
	registry.Unlock()
}

// breakDown fails everything that waits, because a worker cannot be made.
func (p *Pool) breakDown(w *worker, cause error) {
	err := fmt.Errorf("%w: %v is broken: Init of worker %s: %w", tristrand.ErrClosed, p, w.name, cause)
	tristrand.Report(w.Context, err)
	p.mu.Lock()
	p.broken = err
	jobs, idle, putters := p.drop(), p.idle, p.putters
	p.idle, p.putters = nil, nil
	p.stats.Failed += uint64(len(jobs))
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
