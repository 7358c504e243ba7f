package tristrand_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tristrand/tristrand"
)

// elsewhere is the least engine that runs jobs somewhere else: it hands the input
// of a defined task to its handler and never lets the job itself run.
type elsewhere struct {
	mu          sync.Mutex
	jobs        []tristrand.Job
	interrupted []error
}

func (e *elsewhere) Submit(_ context.Context, j tristrand.Job) error {
	if j.Task() == "" {
		return tristrand.ErrNotPortable
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.jobs = append(e.jobs, j)
	return nil
}

func (e *elsewhere) TrySubmit(ctx context.Context, j tristrand.Job) error { return e.Submit(ctx, j) }
func (e *elsewhere) Close(context.Context) error                          { return nil }
func (e *elsewhere) Terminate() error                                     { return nil }
func (e *elsewhere) Stats() tristrand.Stats                               { return tristrand.Stats{} }

func (e *elsewhere) take(t *testing.T) tristrand.Job {
	t.Helper()
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.jobs) == 0 {
		t.Fatal("there is no job")
	}
	j := e.jobs[0]
	e.jobs = e.jobs[1:]
	return j
}

func (e *elsewhere) interrupt(cause error) { e.interrupted = append(e.interrupted, cause) }

func TestJobElsewhere(t *testing.T) {
	ctx := t.Context()
	engine := new(elsewhere)
	f := square.Submit(ctx, engine, 5, tristrand.Priority(3), tristrand.Label("k", "v"), tristrand.Timeout(time.Second), tristrand.Retries(1))
	j := engine.take(t)
	l := j.Limits()
	if l.Priority != 3 || l.Label["k"] != "v" || l.Timeout != time.Second || l.Retries != 1 || j.Task() != "test.square" || j.Context() != ctx {
		t.Errorf("the job of %q has the limits %+v", j.Task(), l)
	}
	if id := j.ID(); !strings.HasPrefix(id, "test.square#") || id != j.ID() {
		t.Errorf("the job is called %q", j.ID())
	}
	if !j.Start(engine.interrupt) || f.State() != tristrand.Running {
		t.Errorf("a job that has been started is %v", f.State())
	}
	if j.Start(engine.interrupt) {
		t.Error("a job that runs can be started")
	}
	h, _ := tristrand.Lookup(j.Task())
	out, err := h.Call(ctx, j.Input())
	if next := j.Finish(out, err); next.Again || next.State != tristrand.Succeeded {
		t.Errorf("Finish says %+v", next)
	}
	if next := j.Finish(nil, errOwn); next.Again || next.State != tristrand.Succeeded {
		t.Errorf("a second Finish says %+v", next)
	}
	if v, err := f.Result(ctx); v != 25 || err != nil {
		t.Errorf("Result is %v, %v", v, err)
	}
	if _, ok := j.NewOutput().(*int); !ok {
		t.Errorf("NewOutput is a %T", j.NewOutput())
	}
}

func TestJobElsewhereFails(t *testing.T) {
	ctx := t.Context()
	engine := new(elsewhere)
	t.Run("an error is tried again, and joined", func(t *testing.T) {
		f := square.Submit(ctx, engine, 5, tristrand.Retries(1), tristrand.Backoff(time.Second, time.Second))
		j := engine.take(t)
		j.Start(engine.interrupt)
		next := j.Finish(nil, errOwn)
		if !next.Again || next.After < time.Second/2 || next.After > time.Second || f.State() != tristrand.Pending {
			t.Errorf("Finish says %+v, and the job is %v", next, f.State())
		}
		j.Start(engine.interrupt)
		second := errors.New("the second")
		if next := j.Finish(nil, second); next.Again || next.State != tristrand.Failed {
			t.Errorf("the second Finish says %+v", next)
		}
		if _, err := f.Result(ctx); !errors.Is(err, errOwn) || !errors.Is(err, second) {
			t.Errorf("Result gives %v", err)
		}
	})
	t.Run("a value of a wrong type is an error", func(t *testing.T) {
		f := square.Submit(ctx, engine, 5)
		j := engine.take(t)
		j.Start(engine.interrupt)
		j.Finish("text", nil)
		if _, err := f.Result(ctx); err == nil || !strings.Contains(err.Error(), "test.square") {
			t.Errorf("Result gives %v", err)
		}
	})
	t.Run("Cancel reaches a job that runs", func(t *testing.T) {
		engine.interrupted = nil
		f := square.Submit(ctx, engine, 5)
		j := engine.take(t)
		j.Start(engine.interrupt)
		if f.Cancel() || len(engine.interrupted) != 1 || !errors.Is(engine.interrupted[0], tristrand.ErrCancelled) {
			t.Errorf("the engine is told %v", engine.interrupted)
		}
		j.Finish(nil, tristrand.ErrCancelled)
		if _, err := f.Result(ctx); !errors.Is(err, tristrand.ErrCancelled) {
			t.Errorf("Result gives %v", err)
		}
	})
	t.Run("a cancelled job cannot be started", func(t *testing.T) {
		f := square.Submit(ctx, engine, 5)
		j := engine.take(t)
		if !f.Cancel() || j.Start(engine.interrupt) {
			t.Error("Cancel is false, or the job starts")
		}
		if next := j.Finish(nil, nil); next.State != tristrand.Cancelled {
			t.Errorf("Finish says %+v", next)
		}
	})
	t.Run("the end of ctx settles a job that the engine has not started", func(t *testing.T) {
		inner, cancel := context.WithCancelCause(ctx)
		f := square.Submit(inner, engine, 5)
		j := engine.take(t)
		done := f.Done()
		cancel(errOwn)
		<-done
		if _, err := f.Result(ctx); !errors.Is(err, errOwn) || !errors.Is(err, tristrand.ErrCancelled) || j.Start(engine.interrupt) {
			t.Errorf("Result gives %v", err)
		}
	})
	t.Run("a closure is refused", func(t *testing.T) {
		f := tristrand.Go(ctx, engine, func(context.Context) (int, error) { return 1, nil }, tristrand.Retries(3))
		if _, err := f.Result(ctx); !errors.Is(err, tristrand.ErrNotPortable) {
			t.Errorf("Result gives %v", err)
		}
	})
}
