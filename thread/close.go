package thread

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
	if p.closed != nil {
		done := p.closed
		p.mu.Unlock()
		return p.closedBefore(ctx, done)
	}
	p.closed = make(chan struct{})
	p.mu.Unlock()
	p.refuse()
	err := p.drain(ctx)
	p.mu.Lock()
	p.closeErr = err
	close(p.closed)
	p.mu.Unlock()
	return err
}

func (p *Pool) closedBefore(ctx context.Context, done <-chan struct{}) error {
	select {
	case <-done:
	default:
		if err := p.waitEmpty(ctx); err != nil {
			return err
		}
		select { // soon now
		case <-done:
		case <-ctx.Done():
			return strand.Err(ctx)
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.closeErr
}

// refuse makes every Submit fail from now on, and lets idle workers end.
func (p *Pool) refuse() {
	p.mu.Lock()
	p.closing = true
	idle, putters := p.idle, p.putters
	p.idle, p.putters = nil, nil
	p.stopReaper()
	p.unlist()
	p.mu.Unlock()
	for _, w := range idle {
		w.wait.Grant()
	}
	for _, n := range putters {
		n.w.Grant()
	}
}

// drain waits until all is done or ctx ends.
func (p *Pool) drain(ctx context.Context) error {
	err := p.waitEmpty(ctx)
	if err == nil || isDeadlock(err) {
		return err
	}
	left := p.stop(tristrand.ErrCancelled)
	grace := p.Grace
	if grace == 0 {
		grace = defaultGrace
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

func isDeadlock(err error) bool {
	var d *tristrand.DeadlockError
	return errors.As(err, &d) && !errors.Is(err, context.DeadlineExceeded)
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
	on := strand.Resource(p)
	for w := range p.workers {
		if w.job != nil && w.s == s {
			on = ownEnd{p, s}
		}
	}
	w := s.NewWait()
	p.waits = append(p.waits, w)
	p.mu.Unlock()
	return w.Park(ctx, on)
}

// ownEnd is what a job waits for that closes the pool which runs it: whatever the
// other workers do, it waits for itself.
type ownEnd struct {
	p *Pool
	s *strand.Strand
}

func (e ownEnd) String() string { return e.p.String() }

func (e ownEnd) Releasers(buf []strand.Releaser) ([]strand.Releaser, bool) {
	return append(buf, strand.Releaser{Ref: e.s.Ref()}), true
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

func (terminatedError) Error() string   { return "thread: the pool was terminated" }
func (terminatedError) Unwrap() []error { return []error{tristrand.ErrCancelled, tristrand.ErrClosed} }
