package process

import (
	"context"
	"fmt"
	"slices"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/internal/crew"
	"github.com/tristrand/tristrand/strand"
)

// Close refuses new jobs and waits until those accepted are done, tries that are still
// to come included, and the workers have ended. When ctx ends first it drops what is
// queued, asks what runs to stop, waits for Grace, kills the workers with all that they
// have started, and returns a *tristrand.CloseError that names the jobs that were left.
// Called again Close waits for the first call and returns the same.
func (p *Pool) Close(ctx context.Context) error {
	if err := p.init(); err != nil {
		return nil //nolint:nilerr // nothing was accepted
	}
	return p.ending.Close(ctx, &p.mu, p, func() error {
		p.refuse()
		err := crew.Drain{Empty: p.waitEmpty, Stop: p.stop, Kill: p.killAll, Grace: p.Grace}.Run(ctx)
		p.tasks.Wait()
		p.mu.Lock()
		for _, x := range p.watches {
			x.stop()
		}
		clear(p.watches)
		p.mu.Unlock()
		unlist(p)
		return err
	})
}

// ending is what Close waits for; it is brought about by other processes.
type ending struct{ p *Pool }

func (e ending) String() string { return "the end of the jobs of " + e.p.String() }

func (e ending) Releasers(buf []strand.Releaser) ([]strand.Releaser, bool) { return buf, false }

// refuse makes every Submit fail from now on, and lets workers that have nothing to do
// end.
func (p *Pool) refuse() {
	p.mu.Lock()
	p.closing = true
	for it, timer := range p.delayed { // those that nobody waits for any more
		if isOver(it.job) {
			timer.Stop()
			delete(p.delayed, it)
			p.stats.Cancelled++
			it.drop()
		}
	}
	putters, waits := p.room.Shut(), p.over()
	p.mu.Unlock()
	crew.Grant(putters)
	crew.Grant(waits)
}

// over lets the workers end if the pool is closing and nothing is left, and returns
// those who wait for them, once they are gone. The caller holds mu.
func (p *Pool) over() []strand.Wait {
	if !p.closing && p.broken == nil || p.queue.Len() > 0 || len(p.delayed) > 0 || p.held > 0 {
		return nil
	}
	if p.restart != nil && p.restart.Stop() {
		p.restart = nil
	}
	for w := range p.workers {
		w.retireNow()
	}
	if !p.finished() {
		return nil
	}
	return p.ending.Over()
}

// unlock unlocks mu after jobs may have gone: it sees to it that workers which lost
// theirs get others, and that the pool ends if that was all it waited for.
func (p *Pool) unlock() {
	for n := len(p.idle); n > 0 && p.queue.Len() > 0; n = len(p.idle) {
		w := p.idle[n-1]
		p.idle = p.idle[:n-1]
		if w.state != ready || w.held > 0 {
			continue
		}
		p.feed(w)
		if w.held == 0 {
			break // it cannot be sent now
		}
		w.wake()
	}
	waits := p.over()
	p.mu.Unlock()
	crew.Grant(waits)
}

// retireNow is retire for a worker in any state.
func (w *worker) retireNow() {
	switch w.state {
	case starting:
		w.state = retired
		if w.child != nil {
			kill(w.child)
		}
	case ready:
		w.retire()
	case retired, gone:
	}
}

// finished reports whether nothing is left to do and nobody to do it.
func (p *Pool) finished() bool {
	return len(p.workers) == 0 && p.queue.Len() == 0 && len(p.delayed) == 0 && p.held == 0
}

// waitEmpty waits until no worker is left.
func (p *Pool) waitEmpty(ctx context.Context) error {
	s := strand.Enter(ctx, strand.Op{Verb: "close", On: p, Write: true})
	return p.ending.Await(ctx, &p.mu, s, p.finished, ending{p})
}

// killAll kills the workers. Their jobs fail with what they were told to stop for.
func (p *Pool) killAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for w := range p.workers {
		if w.child != nil {
			kill(w.child)
		}
	}
}

// stop drops what is queued and asks what runs to stop. It returns their names.
func (p *Pool) stop(cause error) []string {
	p.mu.Lock()
	dropped := p.drop()
	p.stats.Cancelled += uint64(len(dropped))
	var names []string
	for w := range p.workers {
		for _, it := range w.slots {
			if it != nil && !isOver(it.job) {
				names = append(names, it.job.ID())
				p.stopJob(it, cause)
			}
		}
	}
	waits := p.over()
	p.mu.Unlock()
	each(dropped, func(it *item) {
		names = append(names, it.job.ID())
		it.job.Cancel(cause)
		it.drop()
	})
	crew.Grant(waits)
	slices.Sort(names)
	return names
}

// drop empties the queue and what waits for another try. The caller holds mu.
func (p *Pool) drop() []*item {
	var all []*item
	for p.queue.Len() > 0 {
		all = append(all, p.queue.Pop())
	}
	for it, timer := range p.delayed {
		timer.Stop()
		all = append(all, it)
	}
	clear(p.delayed)
	return all
}

// Terminate refuses new jobs, drops what is queued, kills the workers with all that
// they have started, and returns without waiting until they are reaped, which Close
// does. What ran fails with tristrand.ErrCancelled.
func (p *Pool) Terminate() error {
	if err := p.init(); err != nil {
		return nil //nolint:nilerr // nothing was accepted
	}
	p.refuse()
	p.mu.Lock()
	for w := range p.workers {
		for _, it := range w.slots {
			if it != nil && it.cause == nil {
				it.cause = errTerminated
			}
		}
	}
	p.mu.Unlock()
	p.stop(errTerminated)
	p.killAll()
	return nil
}

// breakDown fails everything that waits, because workers cannot be made.
func (p *Pool) breakDown(err error) {
	p.mu.Lock()
	if p.broken != nil {
		p.mu.Unlock()
		return
	}
	p.broken = err
	if p.restart != nil && p.restart.Stop() {
		p.restart = nil
	}
	items, putters := p.drop(), p.room.Shut()
	p.stats.Failed += uint64(len(items))
	waits := p.over()
	p.mu.Unlock()
	tristrand.Report(context.Background(), err)
	crew.Grant(putters)
	crew.Grant(waits)
	failAll(items, err)
}

// failAll gives jobs that wait their outcome, as no worker will come for them.
func failAll(items []*item, err error) {
	each(items, func(it *item) {
		it.job.Finish(nil, err)
		it.drop()
	})
}

// errTerminated is the outcome of the jobs that Terminate dropped.
var errTerminated error = crew.TerminatedError("process")

// closeAtEnd closes a pool that nobody has closed.
func (p *Pool) closeAtEnd(ctx context.Context) error {
	if err := p.Close(ctx); err != nil {
		return fmt.Errorf("process: closing %v, which nobody closed: %w", p, err)
	}
	return nil
}
