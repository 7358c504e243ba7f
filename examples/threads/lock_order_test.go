package threads_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/conformance/schedule"
	"github.com/tristrand/tristrand/examples/stage"
	"github.com/tristrand/tristrand/local"
	"github.com/tristrand/tristrand/strand"
	"github.com/tristrand/tristrand/thread"
)

// T15: five threads do f1, which takes A then B, and f2, which takes B, sleeps,
// and takes A. While the first is in its f2 with B, the second takes A in its f1
// and wants B. The first comes back for A and is refused: its error names the
// circle. It lets B go, and the others meet the same fate in turn, all but the
// last one.
func TestLocksTakenCrosswise(t *testing.T) {
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
	stage.Play(t, func(ctx context.Context, out *stage.Screen) error {
		for range 5 {
			thread.Start(ctx, "", func(ctx context.Context) error {
				err := f1(ctx)
				if err == nil {
					err = f2(ctx)
				}
				var deadlock *tristrand.DeadlockError
				switch {
				case errors.As(err, &deadlock) && len(deadlock.Cycle) == 2:
					out.Print("refused:", deadlock.Cycle[0].On, "against", deadlock.Cycle[1].On)
				case err == nil:
					out.Print("has had both, twice")
				default:
					return err
				}
				return nil
			})
		}
		return nil
	}, `
		1s refused: lock "A" against lock "B"
		2s refused: lock "A" against lock "B"
		3s refused: lock "A" against lock "B"
		4s refused: lock "A" against lock "B"
		5s has had both, twice
		5s ~ the program ends
	`)
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
		joinAll(ctx, threads)
		for _, th := range threads {
			if err := th.Join(ctx); err != nil {
				return err
			}
		}
		return nil
	})
	if found {
		t.Errorf("seed %d: %v\n%s", o.Seed, o.Err, o.Trace())
	}
}
