package threads_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/conformance/schedule"
	"github.com/tristrand/tristrand/local"
	"github.com/tristrand/tristrand/strand"
	"github.com/tristrand/tristrand/thread"
)

// crosswise is the program of T15: five threads do f1, which takes A then B, and
// f2, which takes B, sleeps, and takes A. It returns what each thread ended with.
func crosswise(ctx context.Context) (ends []error) {
	a, b := local.NewLock("A"), local.NewLock("B")
	f1 := func(ctx context.Context) error {
		return tristrand.With(ctx, a, func(ctx context.Context) error {
			return tristrand.With(ctx, b, func(context.Context) error { return nil })
		})
	}
	f2 := func(ctx context.Context) error {
		return tristrand.With(ctx, b, func(ctx context.Context) error {
			strand.Sleep(ctx, time.Second)
			return tristrand.With(ctx, a, func(context.Context) error { return nil })
		})
	}
	var threads []*thread.Thread
	for i := range 5 {
		threads = append(threads, thread.Start(ctx, fmt.Sprint("thread-", i), func(ctx context.Context) error {
			if err := f1(ctx); err != nil {
				return err
			}
			return f2(ctx)
		}))
	}
	for _, th := range threads {
		ends = append(ends, th.Join(ctx))
	}
	return ends
}

// T15: while one thread sleeps in f2 with B, another takes A in f1 and wants B.
// Whoever closes the circle is refused, and the error names it.
func Example_locksTakenCrosswise() {
	o, found := schedule.Find(context.Background(), 1000, func(ctx context.Context) error {
		return errors.Join(crosswise(ctx)...)
	})
	fmt.Println("found:", found)
	if deadlock, ok := errors.AsType[*tristrand.DeadlockError](o.Err); ok {
		for _, link := range deadlock.Cycle { // link.Waiter and link.Holder are the threads
			fmt.Println("somebody waits for", link.On)
		}
	}
	// Unordered output:
	// found: true
	// somebody waits for lock "A"
	// somebody waits for lock "B"
}

// T15: in every order all five threads come to an end: each has had both locks,
// twice, or was refused because of a circle of two. Nobody hangs.
func TestCrosswiseAlwaysEnds(t *testing.T) {
	o, found := schedule.Find(t.Context(), 300, func(ctx context.Context) error {
		for _, err := range crosswise(ctx) {
			var deadlock *tristrand.DeadlockError
			if err != nil && (!errors.As(err, &deadlock) || len(deadlock.Cycle) != 2) {
				return err
			}
		}
		return nil
	})
	if found {
		t.Errorf("seed %d: %v\n%s", o.Seed, o.Err, o.Trace())
	}
}

// T15: who always takes A before B can never meet in a circle. Of a thousand
// orders none has one.
func TestLocksTakenInOrder(t *testing.T) {
	o, found := schedule.Find(t.Context(), 1000, func(ctx context.Context) error {
		a, b := local.NewLock("A"), local.NewLock("B")
		inOrder := func(ctx context.Context) error {
			return tristrand.With(ctx, a, func(ctx context.Context) error {
				return tristrand.With(ctx, b, strand.Yield)
			})
		}
		var threads []*thread.Thread
		for range 3 {
			threads = append(threads, thread.Start(ctx, "", inOrder))
		}
		return joinAll(ctx, threads)
	})
	if found {
		t.Errorf("seed %d: %v\n%s", o.Seed, o.Err, o.Trace())
	}
}
