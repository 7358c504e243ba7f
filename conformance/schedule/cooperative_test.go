package schedule_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tristrand/tristrand/conformance/schedule"
	"github.com/tristrand/tristrand/local"
	"github.com/tristrand/tristrand/strand"
)

func TestCooperativeHandsOverInOrder(t *testing.T) {
	var seen strings.Builder
	schedule.Cooperative(t.Context(), func(ctx context.Context) {
		speaker := func(name string) func(context.Context) error {
			return func(ctx context.Context) error {
				for range 3 {
					seen.WriteString(name)
					if err := strand.Sleep(ctx, 0); err != nil {
						return err
					}
				}
				return nil
			}
		}
		if err := spawn(ctx, speaker("a"), speaker("b"), speaker("c")); err != nil {
			t.Error(err)
		}
	})
	if got := seen.String(); got != "abcabcabc" {
		t.Errorf("%s", got)
	}
}

// Only a yield, a sleep and a wait hand over, so data needs no lock.
func TestCooperativeLosesNoUpdateBetweenYields(t *testing.T) {
	n := 0
	schedule.Cooperative(t.Context(), func(ctx context.Context) {
		mu := new(local.Lock)
		bodies := make([]func(context.Context) error, 100)
		for i := range bodies {
			bodies[i] = func(ctx context.Context) error {
				read := n
				if err := errors.Join(mu.Acquire(ctx), mu.Release(ctx)); err != nil {
					return err
				}
				n = read + 1
				return strand.Yield(ctx)
			}
		}
		if err := spawn(ctx, bodies...); err != nil {
			t.Error(err)
		}
	})
	if n != 100 {
		t.Errorf("counted to %d", n)
	}
}

func TestCooperativeSleepsOnTheClockOfItsStrand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		schedule.Cooperative(t.Context(), func(ctx context.Context) {
			if err := spawn(ctx,
				func(ctx context.Context) error { return strand.Sleep(ctx, time.Hour) },
				func(ctx context.Context) error { return strand.Sleep(ctx, 2*time.Hour) },
			); err != nil {
				t.Error(err)
			}
		})
		if d := time.Since(began); d != 2*time.Hour {
			t.Errorf("took %v", d)
		}
	})
}

// A goroutine that is no strand makes a strand of a hub ready, while the hub
// has nothing to run.
func TestCooperativeHearsGoroutines(t *testing.T) {
	sem := local.NewSemaphore(0)
	schedule.Cooperative(t.Context(), func(ctx context.Context) {
		go func() {
			for st, _ := sem.State(ctx); st.Waiting == 0; st, _ = sem.State(ctx) {
				time.Sleep(time.Millisecond)
			}
			if err := sem.Release(context.Background(), 1); err != nil {
				t.Error(err)
			}
		}()
		if err := sem.Acquire(ctx); err != nil {
			t.Error(err)
		}
	})
}

// hubs runs two hubs in threads of ctx's scheduler and lets their strands and a
// plain thread count under one lock and hand a turn around.
func hubs(ctx context.Context) error {
	mu := local.NewLock("shared")
	n := 0
	add := func(ctx context.Context) error {
		for range 3 {
			if err := mu.Acquire(ctx); err != nil {
				return err
			}
			read := n
			if err := strand.Sleep(ctx, time.Millisecond); err != nil {
				return err
			}
			n = read + 1
			if err := mu.Release(ctx); err != nil {
				return err
			}
		}
		return nil
	}
	hub := func(ctx context.Context) (err error) {
		schedule.Cooperative(ctx, func(ctx context.Context) { err = spawn(ctx, add, add, add) })
		return err
	}
	if err := spawn(ctx, hub, hub, add); err != nil {
		return err
	}
	if n != 21 {
		return fmt.Errorf("counted to %d", n)
	}
	return nil
}

// A scheduler with nothing to run parks its own strand through that strand's
// scheduler, whatever that is.
func TestHubInThread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, end := strand.Adopt(t.Context(), "main")
		defer end()
		if err := hubs(ctx); err != nil {
			t.Error(err)
		}
	})
}

func TestHubInHub(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		schedule.Cooperative(t.Context(), func(ctx context.Context) {
			if err := hubs(ctx); err != nil {
				t.Error(err)
			}
		})
	})
}

func TestHubInSearch(t *testing.T) {
	seen := map[uint64]bool{}
	for seed := range uint64(100) {
		o := schedule.Search(t.Context(), seed, hubs)
		if o.Err != nil {
			t.Fatalf("seed %d: %v\n%s", seed, o.Err, o.Trace())
		}
		if again := schedule.Search(t.Context(), seed, hubs); again.Hash != o.Hash {
			t.Fatalf("seed %d: hash %x and then %x", seed, o.Hash, again.Hash)
		}
		seen[o.Hash] = true
	}
	if len(seen) < 90 {
		t.Errorf("100 seeds gave %d schedules", len(seen))
	}
}

// A deadlock between the strands of a hub and a thread is one deadlock.
func TestDeadlockOfHubAndThread(t *testing.T) {
	o, found := schedule.Find(t.Context(), most, func(ctx context.Context) error {
		a, b := local.NewLock("a"), local.NewLock("b")
		both := func(first, second *local.Lock) func(context.Context) error {
			return func(ctx context.Context) error {
				if err := first.Acquire(ctx); err != nil {
					return err
				}
				defer first.Release(ctx)
				if err := second.Acquire(ctx); err != nil {
					return err
				}
				return second.Release(ctx)
			}
		}
		return spawn(ctx, both(a, b), func(ctx context.Context) (err error) {
			schedule.Cooperative(ctx, func(ctx context.Context) { err = both(b, a)(ctx) })
			return err
		})
	})
	var dead *strand.DeadlockError
	if !found || !errors.As(o.Err, &dead) || len(dead.Cycle) != 2 {
		t.Errorf("after %d schedules: %v", o.Seed, o.Err)
	}
}
