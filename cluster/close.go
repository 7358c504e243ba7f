package cluster

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/strand"
)

// Close refuses new jobs and waits for the results of this pool's. When ctx ends first it
// cancels them, waits Grace, and returns a *tristrand.CloseError that names them. To leave
// jobs to the cluster, close that and not the pool.
func (p *Pool) Close(ctx context.Context) error {
	s := strand.Enter(ctx, strand.Op{Verb: "close", On: p, Write: true})
	if err := p.Start(ctx); err != nil {
		return nil //nolint:nilerr // there is nothing to close
	}
	p.mu.Lock()
	if p.first {
		return p.closeAgain(ctx, s)
	}
	p.first = true
	p.mu.Unlock()
	p.refuse()
	p.sweep()
	err := p.finishAll(ctx, s)
	p.mu.Lock()
	p.closed, p.closeErr = true, err
	for _, w := range p.closers {
		w.Grant()
	}
	p.closers = nil
	p.mu.Unlock()
	return err
}

// closeAgain waits for the first Close. The caller holds mu, which it releases.
func (p *Pool) closeAgain(ctx context.Context, s *strand.Strand) error {
	if p.closed {
		defer p.mu.Unlock()
		return p.closeErr
	}
	w := s.NewWait()
	p.closers = append(p.closers, w)
	p.mu.Unlock()
	if err := w.Park(ctx, pending("the end of "+p.String())); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.closeErr
}

// refuse makes the pool take no more jobs.
func (p *Pool) refuse() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closing = true
	for _, put := range p.putters {
		put.w.Grant()
	}
	p.putters = nil
}

func (p *Pool) finishAll(ctx context.Context, s *strand.Strand) error {
	err := p.awaitDrained(ctx, s)
	if err == nil {
		return nil
	}
	var left []string
	for _, it := range p.all() {
		if it.job.State() <= tristrand.Running {
			left = append(left, it.job.ID())
		}
	}
	if len(left) == 0 {
		return nil
	}
	slices.Sort(left)
	p.cancelAll()
	if p.Grace > 0 {
		grace, cancel := strand.WithTimeout(context.WithoutCancel(ctx), p.Grace)
		defer cancel()
		if err := p.awaitDrained(grace, s); err != nil && !errors.Is(err, context.DeadlineExceeded) {
			return err
		}
	}
	return &tristrand.CloseError{Left: left, Err: err}
}

func (p *Pool) all() []*item {
	p.mu.Lock()
	defer p.mu.Unlock()
	var all []*item
	for _, it := range p.items {
		all = append(all, it)
	}
	return all
}

func (p *Pool) cancelAll() {
	all := p.all()
	for _, waits := range []bool{true, false} { // first those that would take the place of what stops
		for _, it := range all {
			if waits && it.job.State() != tristrand.Pending {
				continue
			}
			it.job.Cancel(tristrand.ErrCancelled)
			if it.job.State() > tristrand.Running {
				p.forget(it)
			}
		}
	}
}

// Terminate refuses new jobs, removes those that wait from the store, asks those that run
// to stop, and returns.
func (p *Pool) Terminate() error {
	if err := p.Start(context.Background()); err != nil {
		return nil //nolint:nilerr // there is nothing to end
	}
	p.refuse()
	p.cancelAll()
	p.mu.Lock()
	p.drained()
	p.mu.Unlock()
	return nil
}

// abandon settles all futures because the cluster is being closed. Their jobs go on.
func (p *Pool) abandon() {
	p.refuse()
	for _, it := range p.all() {
		p.end(it, nil, tristrand.Permanent(fmt.Errorf("%w before the result of %s has come: the job goes on", errClosed, it.job.ID())))
	}
	p.mu.Lock()
	p.drained()
	p.mu.Unlock()
}
