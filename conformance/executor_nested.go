package conformance

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/strand"
)

// nestedRules are about jobs that wait for jobs of their own executor.
func nestedRules() []executorRule {
	rules := []executorRule{
		{"a job may wait for one that another worker can run", "never a false deadlock", ofClosures, anyWorld, nestedFree},
		{"a job may wait for one that runs", "never a false deadlock", ofClosures, anyWorld, nestedRunning},
		{"with a deadline there is no deadlock, and the time-out says why", "when that time-out fires, its error also carries the cycle", ofClosures, anyWorld, nestedDeadline},
		{"a worker that is refused can go on", "one victim; the others go on", ofClosures, anyWorld, nestedGoesOn},
		{"a job that closes its executor while another does is refused", "a deadlock is refused, not suffered", ofClosures, anyWorld, nestedClose},
		{"a job that waits for itself is refused", "a deadlock is refused, not suffered", ofClosures, anyWorld, nestedSelf},
	}
	for _, workers := range []int{1, 2} {
		for _, w := range nestedWays {
			rules = append(rules, executorRule{
				fmt.Sprintf("a job that waits in vain: %s, %d workers", w.name, workers),
				"the workers of a full pool are a closed set; refused, not suffered", ofClosures, anyWorld,
				func(ctx context.Context, x *trial) { nestedDeadlock(ctx, x, workers, w.wait) }})
		}
	}
	return rules
}

// nestedWays are ways to wait, in a job, for a job of the same executor.
var nestedWays = []struct {
	name string
	wait func(ctx context.Context, ex tristrand.Executor) error
}{
	{"Submit to a full queue", func(ctx context.Context, ex tristrand.Executor) error {
		for range 20 { // unless a worker is free the queue fills up
			f := taskEcho.Submit(ctx, ex, 1)
			if _, err := f.TryResult(); err != nil && !errors.Is(err, tristrand.ErrNotDone) {
				return err
			}
		}
		return nil
	}},
	{"Result", func(ctx context.Context, ex tristrand.Executor) error {
		_, err := taskEcho.Submit(ctx, ex, 1).Result(ctx)
		return err
	}},
	{"Call", func(ctx context.Context, ex tristrand.Executor) error {
		_, err := taskEcho.Call(ctx, ex, 1)
		return err
	}},
	{"Map", func(ctx context.Context, ex tristrand.Executor) error {
		var all error
		for _, err := range taskEcho.Map(ctx, ex, slices.Values([]int{1, 2, 3})) {
			all = errors.Join(all, err)
		}
		return all
	}},
	{"MapUnordered", func(ctx context.Context, ex tristrand.Executor) error {
		var all error
		n := 0
		for _, err := range taskEcho.MapUnordered(ctx, ex, slices.Values([]int{1, 2, 3})) {
			n++
			all = errors.Join(all, err)
		}
		if n != 3 {
			return fmt.Errorf("MapUnordered yields %d of 3", n)
		}
		return all
	}},
	{"Wait for all", func(ctx context.Context, ex tristrand.Executor) error {
		_, _, err := tristrand.Wait(ctx, tristrand.AllCompleted, taskEcho.Submit(ctx, ex, 1), taskEcho.Submit(ctx, ex, 1))
		return err
	}},
	{"Wait for the first", func(ctx context.Context, ex tristrand.Executor) error {
		_, _, err := tristrand.Wait(ctx, tristrand.FirstCompleted, taskEcho.Submit(ctx, ex, 1), taskEcho.Submit(ctx, ex, 1))
		return err
	}},
	{"AsCompleted", func(ctx context.Context, ex tristrand.Executor) error {
		for _, err := range tristrand.AsCompleted(ctx, taskEcho.Submit(ctx, ex, 1), taskEcho.Submit(ctx, ex, 1)) {
			if err != nil {
				return err
			}
		}
		return nil
	}},
	{"Group", func(ctx context.Context, ex tristrand.Executor) error {
		g := tristrand.Group{Executor: ex}
		g.Go(ctx, func(context.Context) error { return nil })
		return g.Wait(ctx)
	}},
	{"Close", func(ctx context.Context, ex tristrand.Executor) error { return ex.Close(ctx) }},
}

// nestedDeadlock has a job on every worker, all of which wait for more jobs. The
// last to wait is refused, and as it ends its worker helps the others.
func nestedDeadlock(ctx context.Context, x *trial, workers int, wait func(context.Context, tristrand.Executor) error) {
	ex := x.open(ctx, workers, 6)
	x.closedLate = true // by the way that closes
	var fs []*tristrand.Future[error]
	for i := range workers {
		name := fmt.Sprint(i)
		fs = append(fs, tristrand.Go(ctx, ex, func(ctx context.Context) (error, error) {
			x.must(x.note("begin "+name), "note")
			for !x.released("start") {
				if err := strand.Sleep(ctx, tick); err != nil {
					return nil, err
				}
			}
			return wait(ctx, ex), nil
		}))
		x.untilBegan(ctx, name)
	}
	x.release("start")
	refused := 0
	for _, f := range fs {
		err := result(ctx, x, f)
		if dead, ok := errors.AsType[*tristrand.DeadlockError](err); ok {
			refused++
			if len(dead.Cycle) == 0 || dead.Cycle[0].Waiter == "" || dead.Cycle[0].On == "" {
				x.Errorf("the deadlock does not say who waits for what: %+v", dead.Cycle)
			}
		} else if err != nil && !errors.Is(err, tristrand.ErrClosed) {
			x.Errorf("a job that was to be in a deadlock got %v", err)
		}
	}
	if refused == 0 {
		x.Errorf("nobody was refused")
	}
	after := taskEcho.Submit(ctx, ex, 5)
	if got, err := after.Result(ctx); err == nil && got != 5 || err != nil && !errors.Is(err, tristrand.ErrClosed) {
		x.Errorf("the next job gives %d, %v", got, err)
	}
}

func nestedFree(ctx context.Context, x *trial) {
	ex := x.open(ctx, 2, 10)
	for range x.many(50) {
		f := tristrand.Go(ctx, ex, func(ctx context.Context) (int, error) {
			sum := 0
			for v, err := range taskSquare.Map(ctx, ex, slices.Values([]int{1, 2, 3})) {
				if err != nil {
					return 0, err
				}
				sum += v
			}
			v, err := taskEcho.Submit(ctx, ex, 5).Result(ctx)
			return sum + v, err
		})
		if got := result(ctx, x, f); got != 19 {
			x.Errorf("Result is %d", got)
		}
	}
}

func nestedRunning(ctx context.Context, x *trial) {
	ex := x.open(ctx, 2, 10)
	f := x.hold(ctx, ex, "other")
	x.untilBegan(ctx, "other")
	g := tristrand.Go(ctx, ex, func(ctx context.Context) (string, error) { return f.Result(ctx) })
	x.until(ctx, "the job runs", func() bool { return g.State() == tristrand.Running })
	x.settle(ctx)
	x.release("other")
	if got := result(ctx, x, g); got != "other" {
		x.Errorf("Result is %q", got)
	}
}

func nestedDeadline(ctx context.Context, x *trial) {
	ex := x.open(ctx, 1, 10)
	f := tristrand.Go(ctx, ex, func(ctx context.Context) (error, error) {
		short, cancel := strand.WithTimeout(ctx, rest)
		defer cancel()
		_, err := taskEcho.Submit(ctx, ex, 1).Result(short)
		return err, nil
	})
	err := result(ctx, x, f)
	x.is(err, "Result whose time is up", context.DeadlineExceeded)
	if _, ok := errors.AsType[*tristrand.DeadlockError](err); !ok {
		x.Errorf("the error does not say that only the deadline ended the deadlock: %v", err)
	}
}

// nestedGoesOn has two jobs wait for each other's worker; one is refused and
// returns, and the other gets what it waits for.
func nestedGoesOn(ctx context.Context, x *trial) {
	ex := x.open(ctx, 2, 10)
	both := func(ctx context.Context) (int, error) {
		x.must(x.note("begin job"), "note")
		for len(x.starting("begin ")) < 2 {
			if err := strand.Sleep(ctx, tick); err != nil {
				return 0, err
			}
		}
		return taskEcho.Submit(ctx, ex, 7).Result(ctx)
	}
	a, b := tristrand.Go(ctx, ex, both), tristrand.Go(ctx, ex, both)
	refused := 0
	for _, f := range []*tristrand.Future[int]{a, b} {
		v, err := f.Result(ctx)
		var dead *tristrand.DeadlockError
		switch {
		case errors.As(err, &dead):
			refused++
		case err != nil || v != 7:
			x.Errorf("a job got %v, %v", v, err)
		}
	}
	if refused != 1 {
		x.Errorf("%d of two jobs were refused", refused)
	}
}

func nestedSelf(ctx context.Context, x *trial) {
	ex := x.open(ctx, 2, 10)
	var self atomic.Pointer[tristrand.Future[error]]
	f := tristrand.Go(ctx, ex, func(ctx context.Context) (error, error) {
		for self.Load() == nil {
			if err := strand.Sleep(ctx, tick); err != nil {
				return nil, err
			}
		}
		_, err := self.Load().Result(ctx)
		return err, nil
	})
	self.Store(f)
	var dead *tristrand.DeadlockError
	if err := result(ctx, x, f); !errors.As(err, &dead) {
		x.Errorf("Result of itself is %v, want a DeadlockError", err)
	}
}

// nestedClose has a job close its executor, of which another worker is idle, while
// somebody else does.
func nestedClose(ctx context.Context, x *trial) {
	ex := x.open(ctx, 2, 10)
	f := tristrand.Go(ctx, ex, func(ctx context.Context) (error, error) {
		x.must(x.note("begin job"), "note")
		for !x.released("job") {
			if err := strand.Sleep(ctx, tick); err != nil {
				return nil, err
			}
		}
		return ex.Close(ctx), nil
	})
	x.untilBegan(ctx, "job")
	p := x.closing(ctx, ex)
	x.release("job")
	var dead *tristrand.DeadlockError
	if err := result(ctx, x, f); !errors.As(err, &dead) {
		x.Errorf("Close in a job returns %v, want a DeadlockError", err)
	}
	x.joinAll(ctx, p)
}
