package strand_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tristrand/tristrand/conformance/schedule"
	"github.com/tristrand/tristrand/strand"
)

var errWhy = errors.New("the reason")

// storm has waiters park again and again while others grant their waits, some
// twice, and end their contexts, all at once. It counts in the end.
func storm(t *testing.T, ctx context.Context, rounds int) {
	t.Helper()
	var parked, granted atomic.Int64
	waiter := func(seed uint64) func(ctx context.Context) error {
		return func(ctx context.Context) error {
			rng := rand.New(rand.NewPCG(seed, 1))
			for range rounds {
				child, cancel := context.WithCancelCause(ctx)
				w, g := strand.Current(ctx).NewWait(), new(gate)
				var wg sync.WaitGroup
				for range 2 { // more than one granter: only one may succeed
					wg.Go(func() {
						if w.Grant() {
							granted.Add(1)
						}
					})
				}
				if rng.IntN(2) == 0 {
					wg.Go(func() { cancel(errWhy) })
				}
				switch err := w.Park(child, g); {
				case err == nil:
					parked.Add(1)
				case !errors.Is(err, context.Canceled) || !errors.Is(err, errWhy):
					t.Errorf("Park: %v", err)
				}
				wg.Wait()
				if w.Grant() {
					t.Error("a wait was settled twice")
				}
				cancel(nil)
			}
			return nil
		}
	}
	if err := threads(ctx, waiter(1), waiter(2), waiter(3), waiter(4)); err != nil {
		t.Error(err)
	}
	if parked.Load() != granted.Load() {
		t.Errorf("%d Parks returned nil and %d Grants true", parked.Load(), granted.Load())
	}
	if parked.Load() == 0 || parked.Load() == int64(4*rounds) {
		t.Logf("all rounds ended alike: %d of %d", parked.Load(), 4*rounds)
	}
}

func TestInvariant1EachWaitIsSettledOnce(t *testing.T) {
	t.Run("scheduler=free", func(t *testing.T) { storm(t, adopt(t), many(2000)) })
	t.Run("scheduler=parallel", func(t *testing.T) {
		p := newParallel()
		p.run(t.Context(), func(ctx context.Context) { storm(t, ctx, many(2000)) })
		p.balanced(t)
	})
}

func TestInvariant1AReadyBeforeParkIsKept(t *testing.T) {
	check := func(t *testing.T, ctx context.Context) {
		for range 100 {
			w := strand.Current(ctx).NewWait()
			if !w.Grant() || w.Grant() {
				t.Error("a wait was not granted once")
			}
			if err := w.Park(ctx, new(gate)); err != nil {
				t.Errorf("Park after Grant: %v", err)
			}
			w = strand.Current(ctx).NewWait()
			if !w.Grant() || w.Cancel() {
				t.Error("Cancel after Grant did not say that the Grant counts")
			}
			w = strand.Current(ctx).NewWait()
			if !w.Cancel() || w.Grant() {
				t.Error("Grant after Cancel was not refused")
			}
		}
	}
	t.Run("scheduler=free", func(t *testing.T) { check(t, adopt(t)) })
	t.Run("scheduler=parallel", func(t *testing.T) {
		p := newParallel()
		p.run(t.Context(), func(ctx context.Context) { check(t, ctx) })
		p.balanced(t)
	})
	t.Run("scheduler=cooperative", func(t *testing.T) {
		schedule.Cooperative(t.Context(), func(ctx context.Context) { check(t, ctx) })
	})
	t.Run("scheduler=search", func(t *testing.T) {
		o := schedule.Search(t.Context(), 1, func(ctx context.Context) error { check(t, ctx); return nil })
		if o.Err != nil {
			t.Error(o.Err)
		}
	})
}

// What comes too late for one wait must not settle the next.
func TestInvariant1ALateEndDoesNotSettleTheNextWait(t *testing.T) {
	check := func(t *testing.T, ctx context.Context) {
		for range many(500) {
			child, cancel := context.WithCancel(ctx)
			s, g := strand.Current(ctx), new(gate)
			first := s.NewWait()
			var wg sync.WaitGroup
			wg.Go(func() { first.Grant() })
			wg.Go(cancel) // at about the same time: its callback may come any time later
			_ = first.Park(child, g)
			second := s.NewWait()
			if first.Grant() {
				t.Fatal("the first wait was settled again")
			}
			wg.Go(func() { time.Sleep(10 * time.Microsecond); second.Grant() })
			if err := second.Park(ctx, g); err != nil {
				t.Fatalf("the second wait, under a ctx that goes on: %v", err)
			}
			wg.Wait()
		}
	}
	t.Run("scheduler=free", func(t *testing.T) { check(t, adopt(t)) })
	t.Run("scheduler=parallel", func(t *testing.T) {
		p := newParallel()
		p.run(t.Context(), func(ctx context.Context) { check(t, ctx) })
		p.balanced(t)
	})
}

func TestInvariant2AFalseGrantChangesNothing(t *testing.T) {
	ctx := adopt(t)
	child, cancel := context.WithCancelCause(ctx)
	g := new(gate)
	var w strand.Wait
	made := make(chan struct{})
	done := make(chan struct{})
	s := strand.Go(child, strand.Options{Kind: strand.Thread}, func(ctx context.Context) {
		defer close(done)
		w = strand.Current(ctx).NewWait()
		close(made)
		if err := w.Park(ctx, g); !errors.Is(err, context.Canceled) || !errors.Is(err, errWhy) {
			t.Errorf("Park: %v", err)
		}
		next := strand.Current(ctx).NewWait()
		if w.Grant() {
			t.Error("the wait that has ended was granted")
		}
		if !next.Cancel() { // the false Grant would have settled it
			t.Error("the next wait was not open any more")
		}
	})
	<-made
	until(t, "it waits", func() bool { return s.State() == strand.Waiting })
	cancel(errWhy)
	<-done
	if w.Grant() {
		t.Error("a wait that ctx has ended was granted")
	}
}

// A Grant that comes before the end of ctx counts, although both are there when
// the waiter looks.
func TestInvariant2AGrantThatBeatsTheEndCounts(t *testing.T) {
	check := func(t *testing.T, ctx context.Context) {
		for range 100 {
			child, cancel := context.WithCancel(ctx)
			w := strand.Current(ctx).NewWait()
			w.Grant()
			cancel()
			if err := w.Park(child, new(gate)); err != nil {
				t.Fatalf("granted, then cancelled, then parked: %v", err)
			}
		}
	}
	t.Run("scheduler=free", func(t *testing.T) { check(t, adopt(t)) })
	t.Run("scheduler=parallel", func(t *testing.T) {
		p := newParallel()
		p.run(t.Context(), func(ctx context.Context) { check(t, ctx) })
		p.balanced(t)
	})
}

// What is written before Grant is there after Park, with no other order between
// the two: the race detector looks on.
func TestInvariant3WhatIsWrittenBeforeGrantIsSeen(t *testing.T) {
	ctx := adopt(t)
	for _, sched := range []*parallel{nil, newParallel()} {
		shared := 0
		body := func(ctx context.Context) {
			for i := range many(2000) {
				w := strand.Current(ctx).NewWait()
				go func() {
					shared = i
					w.Grant()
				}()
				if err := w.Park(ctx, new(gate)); err != nil || shared != i {
					t.Errorf("%d after round %d: %v", shared, i, err)
				}
			}
		}
		if sched == nil {
			body(ctx)
		} else {
			sched.run(t.Context(), body)
			sched.balanced(t)
		}
	}
}

func TestGrantFromOutsideTheBubblePanics(t *testing.T) {
	waits := make(chan strand.Wait)
	leave := make(chan struct{})
	var outside sync.WaitGroup
	outside.Go(func() { // not of the bubble
		defer close(leave)
		w := <-waits
		defer func() {
			if recover() == nil {
				t.Error("Grant crossed the border of a bubble")
			}
		}()
		w.Grant()
	})
	synctest.Test(t, func(t *testing.T) {
		ctx, end := strand.Adopt(t.Context(), "in the bubble")
		defer end()
		w := strand.Current(ctx).NewWait()
		waits <- w
		<-leave
		if !w.Grant() { // it was an error before anything was changed
			t.Error("the wait was settled all the same")
		}
		if err := w.Park(ctx, new(gate)); err != nil {
			t.Error(err)
		}
	})
	outside.Wait()
}

// Strands and primitives of several bubbles do not meet: nothing is pooled.
func TestBubblesFollowEachOther(t *testing.T) {
	for range 20 {
		synctest.Test(t, func(t *testing.T) {
			ctx, end := strand.Adopt(t.Context(), "main")
			defer end()
			g := new(gate)
			began := time.Now()
			err := threads(ctx,
				g.wait,
				func(ctx context.Context) error {
					if err := strand.Sleep(ctx, time.Hour); err != nil {
						return err
					}
					g.set()
					return nil
				})
			if err != nil || time.Since(began) != time.Hour {
				t.Errorf("%v after %v", err, time.Since(began))
			}
		})
	}
}
