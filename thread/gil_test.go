package thread_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/local"
	"github.com/tristrand/tristrand/strand"
	"github.com/tristrand/tristrand/thread"
)

// TestGIL has threads under one lock change a variable that nothing else guards,
// with check-ins between: the race detector and the count would tell.
func TestGIL(t *testing.T) {
	ctx, leave := strand.Adopt(t.Context(), "test")
	defer leave()
	g := thread.NewGIL(50 * time.Microsecond)
	n, inside, rounds := 0, 0, 20_000
	if testing.Short() {
		rounds = 2_000
	}
	var all []*thread.Thread
	for range 4 {
		all = append(all, thread.Start(ctx, "", func(ctx context.Context) error {
			for range rounds {
				inside++
				if inside != 1 {
					t.Errorf("%d threads run at once", inside)
				}
				n++
				inside--
				if err := strand.Yield(ctx); err != nil {
					return err
				}
			}
			return nil
		}, thread.Under(g)))
	}
	for _, th := range all {
		if err := th.Join(ctx); err != nil {
			t.Error(err)
		}
	}
	if n != 4*rounds {
		t.Errorf("counted %d of %d", n, 4*rounds)
	}
}

// TestGILGivesWay has a thread that only checks in, and one that wants the turn.
func TestGILGivesWay(t *testing.T) {
	ctx, leave := strand.Adopt(t.Context(), "test")
	defer leave()
	g := thread.NewGIL(time.Millisecond)
	var other atomic.Bool
	began := make(chan struct{})
	hog := thread.Start(ctx, "hog", func(ctx context.Context) error {
		close(began)
		for !other.Load() {
			if err := strand.Yield(ctx); err != nil {
				return err
			}
		}
		return nil
	}, thread.Under(g))
	<-began
	late := thread.Start(ctx, "late", func(context.Context) error { other.Store(true); return nil }, thread.Under(g))
	for _, th := range []*thread.Thread{hog, late} {
		if err := th.Join(ctx); err != nil {
			t.Error(err)
		}
	}
	if g.Switches() == 0 {
		t.Error("no switch was counted")
	}
}

// TestGILWaits looks that who waits in the library lets others run, whatever the
// interval.
func TestGILWaits(t *testing.T) {
	ctx, leave := strand.Adopt(t.Context(), "test")
	defer leave()
	g := thread.NewGIL(time.Hour)
	a, b := local.NewQueue[int](1), local.NewQueue[int](1)
	ping := thread.Start(ctx, "ping", func(ctx context.Context) error {
		for i := range 100 {
			if err := a.Put(ctx, i); err != nil {
				return err
			}
			if _, err := b.Get(ctx); err != nil {
				return err
			}
		}
		return strand.Sleep(ctx, time.Millisecond)
	}, thread.Under(g))
	pong := thread.Start(ctx, "pong", func(ctx context.Context) error {
		for range 100 {
			v, err := a.Get(ctx)
			if err != nil {
				return err
			}
			if err := b.Put(ctx, v); err != nil {
				return err
			}
		}
		child := thread.Start(ctx, "child", func(ctx context.Context) error {
			if strand.Current(ctx).Scheduler() != strand.Scheduler(g) {
				t.Error("a thread that one under a GIL has started is not under it")
			}
			return nil
		})
		return child.Join(ctx)
	}, thread.Under(g))
	for _, th := range []*thread.Thread{ping, pong} {
		if err := th.Join(ctx); err != nil {
			t.Error(err)
		}
	}
}

// TestGILDeadlock looks that a deadlock under a GIL is refused as one without.
func TestGILDeadlock(t *testing.T) {
	ctx, leave := strand.Adopt(t.Context(), "test")
	defer leave()
	g := thread.NewGIL(0)
	locks := [2]local.Lock{}
	var taken atomic.Int32
	eat := func(first, second tristrand.Locker) func(context.Context) error {
		return func(ctx context.Context) error {
			return tristrand.With(ctx, first, func(ctx context.Context) error {
				for taken.Add(1); taken.Load() < 2; {
					if err := strand.Sleep(ctx, time.Millisecond); err != nil {
						return err
					}
				}
				return tristrand.With(ctx, second, func(context.Context) error { return nil })
			})
		}
	}
	a := thread.Start(ctx, "a", eat(&locks[0], &locks[1]), thread.Under(g))
	b := thread.Start(ctx, "b", eat(&locks[1], &locks[0]), thread.Under(g))
	ea, eb := a.Join(ctx), b.Join(ctx)
	if isDeadlock(ea) == isDeadlock(eb) {
		t.Errorf("the two get %v and %v, want one refused", ea, eb)
	}
}
