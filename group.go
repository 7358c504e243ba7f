package tristrand

import (
	"context"
	"errors"
	"sync"

	"github.com/tristrand/tristrand/strand"
)

// A Group runs functions and waits for them all: errgroup's job on any engine
// that takes closures. The zero value is ready and uses a goroutine for each.
// After Wait it can be used again.
type Group struct {
	// Executor runs the functions; nil is a goroutine, a strand, for each.
	Executor Executor

	// KeepGoing lets the rest go on after an error, and Wait join all errors.
	// Otherwise the first error ends the ctx of the others, and Wait returns it.
	KeepGoing bool

	mu   sync.Mutex      // guards the rest
	ctx  *strand.Context // of the functions, from the first Go to Wait
	jobs []*member
	errs []error
}

// A member is one job of a group.
type member struct {
	*Future[struct{}]
	noted bool // its outcome has been looked at
}

// Go starts fn, waiting under ctx while the executor has no room. The ctx that
// fn gets is a child of that of the first call of Go, and ends at the first
// error, unless KeepGoing is set, and when Wait returns. What cannot be started
// is an error that Wait returns.
func (g *Group) Go(ctx context.Context, fn func(ctx context.Context) error) {
	g.mu.Lock()
	if g.ctx == nil {
		g.ctx = cancellable(ctx)
	}
	inner, ex := g.ctx, g.Executor
	g.mu.Unlock()
	if ex == nil {
		ex = goroutines{}
	}
	m := &member{Future: Go(inner, ex, func(ctx context.Context) (struct{}, error) { return struct{}{}, fn(ctx) })}
	g.mu.Lock()
	g.jobs = append(g.jobs, m)
	g.mu.Unlock()
	m.OnDone(func(*Future[struct{}]) {
		g.mu.Lock()
		err := g.note(m)
		g.mu.Unlock()
		if err != nil && !g.KeepGoing {
			inner.End(&cancelledError{err})
		}
	})
}

// note takes the outcome of a job that is done into account, once: Wait may come
// before the job has called back. It returns the job's error. The caller holds mu.
func (g *Group) note(m *member) error {
	if m.noted {
		return nil
	}
	m.noted = true
	_, err := m.TryResult()
	if err != nil {
		g.errs = append(g.errs, err)
	}
	return err
}

// Wait waits until all functions have returned. It returns the first error, or
// with KeepGoing all of them joined. When ctx ends first it ends the functions'
// ctx and returns ctx's error; they may run on, and Wait may be called again.
func (g *Group) Wait(ctx context.Context) error {
	for {
		g.mu.Lock()
		jobs, inner := g.jobs, g.ctx
		g.mu.Unlock()
		if _, _, err := Wait(ctx, AllCompleted, jobs...); err != nil {
			inner.End(&cancelledError{err}) // there is one, as there are jobs
			return err
		}
		g.mu.Lock()
		if len(g.jobs) == len(jobs) { // none was added meanwhile
			break
		}
		g.mu.Unlock()
	}
	for _, m := range g.jobs {
		_ = g.note(m)
	}
	inner, errs := g.ctx, g.errs
	g.ctx, g.jobs, g.errs = nil, nil, nil
	g.mu.Unlock()
	if inner != nil {
		inner.End(context.Canceled)
	}
	if len(errs) > 1 && !g.KeepGoing {
		return errs[0]
	}
	return errors.Join(errs...)
}

// goroutines is the executor that starts a strand for each job. It has no bound
// and nothing to close: whoever submits waits for the jobs.
type goroutines struct{}

func (goroutines) Submit(ctx context.Context, j Job) error {
	if err := strand.Err(ctx); err != nil {
		return err
	}
	name := j.Task()
	if name == "" {
		name = "group"
	}
	strand.Go(j.Context(), strand.Options{Kind: strand.Thread, Name: name}, func(ctx context.Context) {
		for next := j.Run(ctx); next.Again; next = j.Run(ctx) {
			if strand.Sleep(ctx, next.After) != nil {
				j.Cancel(strand.Err(ctx))
			}
		}
	})
	return nil
}

func (g goroutines) TrySubmit(ctx context.Context, j Job) error { return g.Submit(ctx, j) }
func (goroutines) Close(context.Context) error                  { return nil }
func (goroutines) Terminate() error                             { return nil }
func (goroutines) Stats() Stats                                 { return Stats{} }
