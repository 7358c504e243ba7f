package coro

import (
	"context"
	"errors"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/strand"
)

// Close refuses new jobs and waits until those accepted are done, tries that are
// still to come included. When ctx ends first it drops what is queued, asks what
// runs to stop, waits for Grace, and returns a *tristrand.CloseError that names
// the jobs that were left when ctx ended. A function whose time was up is not
// waited for. Called again Close waits for the first call and returns the same.
func (p *Pool) Close(ctx context.Context) error {
	p.init(ctx)
	p.mu.Lock()
	if p.closer != nil {
		return p.closedBefore(ctx) // unlocks
	}
	p.closer = strand.Current(ctx)
	p.mu.Unlock()
	p.refuse()
	err := p.drain(ctx)
	p.mu.Lock()
	p.closed, p.closeErr = true, err
	others := p.closers
	p.closers = nil
	p.mu.Unlock()
	for _, w := range others {
		w.Grant()
	}
	return err
}

// closedBefore waits for the first Close and returns its answer. It is called
// with mu held and unlocks it.
func (p *Pool) closedBefore(ctx context.Context) error {
	if !p.closed {
		w := strand.Current(ctx).NewWait()
		p.closers = append(p.closers, w)
		p.mu.Unlock()
		if err := w.Park(ctx, answer{p}); err != nil {
			return err
		}
		p.mu.Lock()
	}
	defer p.mu.Unlock()
	return p.closeErr
}

// answer is what a second Close waits for: that the first one returns.
type answer struct{ p *Pool }

func (a answer) String() string { return "the close of " + a.p.String() }

func (a answer) Releasers(buf []strand.Releaser) ([]strand.Releaser, bool) {
	if a.p.closer.ID() == 0 {
		return buf, false
	}
	return append(buf, strand.Releaser{Ref: a.p.closer.Ref()}), true
}

// refuse makes every Submit fail from now on.
func (p *Pool) refuse() {
	p.mu.Lock()
	p.closing = true
	for j, stop := range p.delayed { // those that nobody waits for any more
		if isOver(j) {
			stop()
			delete(p.delayed, j)
			p.stats.Cancelled++
		}
	}
	putters := p.putters
	p.putters = nil
	over := p.finished()
	p.mu.Unlock()
	if over {
		p.dismiss()
	}
	for _, n := range putters {
		n.w.Grant()
	}
}

// drain waits until all is done or ctx ends.
func (p *Pool) drain(ctx context.Context) error {
	err := p.waitEmpty(ctx)
	if err == nil || refused(err) {
		return err
	}
	left := p.stop(tristrand.ErrCancelled)
	grace := p.Grace
	if grace == 0 {
		grace = defaultPoolGrace
	}
	if grace > 0 {
		bounded, cancel := strand.WithTimeout(context.WithoutCancel(ctx), grace)
		defer cancel()
		_ = p.waitEmpty(bounded)
	}
	if len(left) == 0 {
		return nil
	}
	return &tristrand.CloseError{Left: left, Err: err}
}

// refused reports whether err is a deadlock that no deadline would have ended.
func refused(err error) bool {
	return isDeadlock(err) && !errors.Is(err, context.DeadlineExceeded)
}

// waitEmpty waits until no worker is left.
func (p *Pool) waitEmpty(ctx context.Context) error {
	s := strand.Enter(ctx, strand.Op{Verb: "close", On: p, Write: true})
	p.mu.Lock()
	if p.finished() {
		p.mu.Unlock()
		return nil
	}
	if err := strand.Err(ctx); err != nil {
		p.mu.Unlock()
		return err
	}
	w := s.NewWait()
	p.waits = append(p.waits, w)
	p.mu.Unlock()
	return w.Park(ctx, emptied{p, s})
}

// emptied is what Close waits for: every job that runs has to end, so one that
// waits for Close in any way is enough for a deadlock.
type emptied struct {
	p  *Pool
	by *strand.Strand
}

func (e emptied) String() string { return "the end of the jobs of " + e.p.String() }

// Releasers returns one of the strands that have to end: the one that waits
// itself, if there is one, or else any that waits for something. One whose time
// will be up is given up some day.
func (e emptied) Releasers(buf []strand.Releaser) ([]strand.Releaser, bool) {
	e.p.mu.Lock()
	defer e.p.mu.Unlock()
	var stuck *strand.Strand
	for w := range e.p.workers {
		switch {
		case w.job == nil || w.job.Limits().Timeout > 0:
		case w.s == e.by:
			return append(buf, strand.Releaser{Ref: e.by.Ref()}), true
		case w.s.Waiting() != nil && (stuck == nil || w.s.ID() < stuck.ID()):
			stuck = w.s
		}
	}
	if stuck == nil {
		return buf, false
	}
	return append(buf, strand.Releaser{Ref: stuck.Ref()}), true
}

// stop drops what is queued and asks what runs to stop. It returns their names.
func (p *Pool) stop(cause error) []string {
	p.mu.Lock()
	dropped := p.drop()
	p.stats.Cancelled += uint64(len(dropped))
	var running []tristrand.Job
	for w := range p.workers {
		if w.job != nil && !isOver(w.job) {
			running = append(running, w.job)
		}
	}
	p.replace() // unlocks
	p.base.End(cause)
	var names []string
	for _, j := range running {
		j.Cancel(cause)
		names = append(names, j.ID())
	}
	for _, j := range dropped {
		j.Cancel(cause)
		names = append(names, j.ID())
	}
	return names
}

// isOver reports whether a job has its outcome, although its worker may not have
// got round to saying so. One that nobody waits for has none.
func isOver(j tristrand.Job) bool {
	_, waited := j.(tristrand.Waitable)
	return waited && j.State() > tristrand.Running
}

// Terminate refuses new jobs, drops what is queued, asks what runs to stop, and
// returns without waiting. A Close afterwards waits for what runs.
func (p *Pool) Terminate() error {
	p.init(context.Background())
	p.refuse()
	p.stop(errTerminated)
	return nil
}

// errTerminated is the outcome of the jobs that Terminate dropped.
var errTerminated = terminatedError{}

type terminatedError struct{}

func (terminatedError) Error() string   { return "coro: the pool was terminated" }
func (terminatedError) Unwrap() []error { return []error{tristrand.ErrCancelled, tristrand.ErrClosed} }
