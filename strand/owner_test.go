package strand_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/local"
	"github.com/tristrand/tristrand/strand"
)

// A strand that ends holding a lock is told to all who wait for it, named and
// nameless, and to all who come later, however its body ends.
func TestInvariant5AStrandThatEndsHoldingIsFound(t *testing.T) {
	ends := map[string]func(){
		"by returning": func() {},
		"by Goexit":    runtime.Goexit,
	}
	for how, end := range ends {
		t.Run(how, func(t *testing.T) {
			ctx := adopt(t)
			l := local.NewLock("left")
			waiting := func() int {
				st, err := l.State(ctx)
				if err != nil {
					t.Error(err)
				}
				return st.Waiting
			}
			taken, over := make(chan struct{}), make(chan struct{})
			var told atomic.Int32
			strand.Go(ctx, strand.Options{Kind: strand.Thread, Name: "owner"}, func(ctx context.Context) {
				defer close(over)
				if err := l.Acquire(ctx); err != nil {
					t.Error(err)
				}
				close(taken)
				for waiting() < 4 {
					runtime.Gosched()
				}
				end()
			})
			<-taken
			check := func(ctx context.Context) error {
				if err := l.Acquire(ctx); !errors.Is(err, tristrand.ErrOwnerDied) {
					return fmt.Errorf("Acquire: %w", err)
				}
				told.Add(1)
				return nil
			}
			go check(ctx)                  // borrowed
			go check(context.Background()) // of nobody
			if err := threads(ctx, check, check); err != nil {
				t.Error(err)
			}
			<-over
			until(t, "all four are told", func() bool { return told.Load() == 4 })
			if err := threads(ctx, check); err != nil {
				t.Errorf("later: %v", err)
			}
			if err := errors.Join(l.Recover(ctx), l.Release(ctx), l.Acquire(ctx), l.Release(ctx)); err != nil {
				t.Errorf("Recover and on: %v", err)
			}
		})
	}
}

// Whoever waits just as the owner ends must not be missed.
func TestInvariant5NoWaiterIsMissedWhenTheOwnerEnds(t *testing.T) {
	ctx := adopt(t)
	for range many(2000) {
		l := new(local.Lock)
		taken := make(chan struct{})
		var waiters []func(context.Context) error
		for range 3 {
			waiters = append(waiters, func(ctx context.Context) error {
				<-taken
				if err := l.Acquire(ctx); !errors.Is(err, tristrand.ErrOwnerDied) {
					return fmt.Errorf("Acquire: %w", err)
				}
				return nil
			})
		}
		err := threads(ctx, append(waiters, func(ctx context.Context) error {
			defer close(taken)
			return l.Acquire(ctx) // and ends
		})...)
		if err != nil {
			t.Fatal(err)
		}
	}
}

// A strand that left locks behind keeps its slot until they have been taken
// over, so that no new strand can be mistaken for it.
func TestInvariant5AnOwnerIsNotMistakenForANewStrand(t *testing.T) {
	ctx := adopt(t)
	left := []*local.Lock{new(local.Lock), new(local.Lock)}
	var id strand.ID
	if err := threads(ctx, func(ctx context.Context) error {
		id = strand.Current(ctx).ID()
		return errors.Join(left[0].Acquire(ctx), left[1].Acquire(ctx))
	}); err != nil {
		t.Fatal(err)
	}
	until(t, "the owner has ended", func() bool { s := strand.Find(id); return s != nil && s.HasEnded() })
	for range 100 {
		c, end := strand.Adopt(ctx, "new")
		for _, l := range left {
			if err := l.Release(c); !errors.Is(err, tristrand.ErrNotHeld) {
				t.Errorf("Release by a new strand: %v", err)
			}
			if err := l.TryAcquire(c); !errors.Is(err, tristrand.ErrOwnerDied) {
				t.Errorf("TryAcquire by a new strand: %v", err)
			}
		}
		end()
	}
	for i, l := range left {
		if strand.Find(id) == nil {
			t.Errorf("the owner is forgotten with %d locks left", len(left)-i)
		}
		if err := errors.Join(l.Recover(ctx), l.Release(ctx)); err != nil {
			t.Error(err)
		}
	}
	if s := strand.Find(id); s != nil {
		t.Errorf("the owner is kept although nothing is left: %v", s)
	}
}

func TestAStrandThatHoldsNothingLeavesNothing(t *testing.T) {
	ctx := adopt(t)
	l := new(local.RLock)
	if err := threads(ctx, func(ctx context.Context) error {
		return errors.Join(l.Acquire(ctx), l.Acquire(ctx), l.Release(ctx), l.Release(ctx))
	}); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(l.Acquire(ctx), l.Release(ctx)); err != nil {
		t.Error(err)
	}
}

// A claimed is a closed resource with one owner that is told when it has ended.
type claimed struct {
	gate
	told int
}

func (c *claimed) OwnerEnded(*strand.Strand) {
	c.told++
	c.set()
}

// The owner may end after a waiter has queued and before its wait can be seen:
// the waiter itself sees to it that the resource is told.
func TestInvariant5AnOwnerThatEndsBeforeTheParkIsFound(t *testing.T) {
	ctx := adopt(t)
	owner := strand.Go(ctx, strand.Options{Kind: strand.Thread, Name: "owner"}, func(ctx context.Context) {
		strand.Current(ctx).Held(1)
	})
	c := &claimed{gate: gate{of: []strand.Releaser{{Ref: owner.Ref()}}}}
	w := strand.Current(ctx).NewWait()
	c.waits = append(c.waits, w)
	until(t, "the owner has ended", owner.HasEnded)
	if err := w.Park(ctx, c); err != nil || c.told != 1 {
		t.Errorf("Park: %v, and the resource was told %d times", err, c.told)
	}
	owner.TakenOver()
}
