package cluster

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/internal/crew"
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
	return p.ending.Close(ctx, &p.mu, p, func() error {
		p.refuse()
		p.sweep()
		return p.finishAll(ctx, s)
	})
}

// refuse makes the pool take no more jobs.
func (p *Pool) refuse() {
	p.mu.Lock()
	p.closing = true
	putters := p.room.Shut()
	p.mu.Unlock()
	crew.Grant(putters)
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
