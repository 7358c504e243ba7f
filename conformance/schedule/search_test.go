package schedule_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/conformance/schedule"
	"github.com/tristrand/tristrand/local"
	"github.com/tristrand/tristrand/strand"
)

// most is how many schedules a search may take.
const most = 1000

// spawn starts a thread for each body and waits for all of them.
func spawn(ctx context.Context, bodies ...func(ctx context.Context) error) error {
	done := local.NewSemaphore(0)
	errs := make([]error, len(bodies))
	for i, body := range bodies {
		strand.Go(ctx, strand.Options{Kind: strand.Thread, Name: fmt.Sprintf("t%d", i)}, func(ctx context.Context) {
			defer done.Release(ctx, 1)
			errs[i] = body(ctx)
		})
	}
	for range bodies {
		if err := done.Acquire(ctx); err != nil {
			return err
		}
	}
	return errors.Join(errs...)
}

// count has threads strands add 1 to a counter, by a read, a yield and a write.
func count(threads int, mu tristrand.Locker) func(ctx context.Context) error {
	return func(ctx context.Context) error {
		n := 0
		add := func(ctx context.Context) error {
			if mu != nil {
				if err := mu.Acquire(ctx); err != nil {
					return err
				}
				defer mu.Release(ctx)
			}
			read := n
			if err := strand.Yield(ctx); err != nil {
				return err
			}
			n = read + 1
			return nil
		}
		bodies := make([]func(context.Context) error, threads)
		for i := range bodies {
			bodies[i] = add
		}
		if err := spawn(ctx, bodies...); err != nil {
			return err
		}
		if n != threads {
			return fmt.Errorf("%w: %d threads counted to %d", errLost, threads, n)
		}
		return nil
	}
}

var errLost = errors.New("lost update")

// replayed checks that the schedule that o found fails again, the same way.
func replayed(t *testing.T, o schedule.Outcome, body func(ctx context.Context) error) {
	t.Helper()
	again := schedule.Search(t.Context(), o.Seed, body)
	if again.Hash != o.Hash || again.Steps != o.Steps || again.Err == nil || again.Trace() != o.Trace() {
		t.Errorf("seed %d: hash %x with %d steps and error %v, and then %x with %d and %v\n%s\n%s",
			o.Seed, o.Hash, o.Steps, o.Err, again.Hash, again.Steps, again.Err, o.Trace(), again.Trace())
	}
}

func TestSearchFindsALostUpdate(t *testing.T) {
	for _, threads := range []int{2, 3, 100} {
		t.Run(fmt.Sprintf("threads=%d", threads), func(t *testing.T) {
			body := count(threads, nil)
			o, found := schedule.Find(t.Context(), most, body)
			if !found || !errors.Is(o.Err, errLost) {
				t.Fatalf("after %d schedules: %v", o.Seed, o.Err)
			}
			t.Logf("seed %d: %v", o.Seed, o.Err)
			replayed(t, o, body)
			if threads == 2 && strings.Count(o.Trace(), "yield") != 2 {
				t.Errorf("the interleaving does not show both yields:\n%s", o.Trace())
			}
		})
	}
}

func TestSearchFindsNoLostUpdateUnderALock(t *testing.T) {
	locks := map[string]func() tristrand.Locker{
		"Lock":  func() tristrand.Locker { return new(local.Lock) },
		"RLock": func() tristrand.Locker { return new(local.RLock) },
	}
	for name, lock := range locks {
		t.Run(name, func(t *testing.T) {
			o, found := schedule.Find(t.Context(), most, func(ctx context.Context) error {
				return count(3, lock())(ctx)
			})
			if found || o.Seed != most {
				t.Errorf("seed %d: %v\n%s", o.Seed, o.Err, o.Trace())
			}
		})
	}
}

// eat is the noodle and the fork: half of the eaters take one first, half the
// other.
func eat(eaters int, noodle, fork tristrand.Locker) func(ctx context.Context) error {
	return func(ctx context.Context) error {
		both := func(a, b tristrand.Locker) func(context.Context) error {
			return func(ctx context.Context) error {
				return tristrand.With(ctx, a, func(ctx context.Context) error {
					return tristrand.With(ctx, b, strand.Yield)
				})
			}
		}
		bodies := make([]func(context.Context) error, eaters)
		for i := range bodies {
			if bodies[i] = both(noodle, fork); i%2 == 1 {
				bodies[i] = both(fork, noodle)
			}
		}
		return spawn(ctx, bodies...)
	}
}

func TestSearchFindsADeadlock(t *testing.T) {
	for _, eaters := range []int{2, 3, 5} {
		t.Run(fmt.Sprintf("eaters=%d", eaters), func(t *testing.T) {
			body := func(ctx context.Context) error {
				return eat(eaters, local.NewLock("noodle"), local.NewLock("fork"))(ctx)
			}
			o, found := schedule.Find(t.Context(), most, body)
			var dead *strand.DeadlockError
			if !found || !errors.As(o.Err, &dead) {
				t.Fatalf("after %d schedules: %v", o.Seed, o.Err)
			}
			t.Logf("seed %d: %v", o.Seed, dead)
			replayed(t, o, body)
			if len(dead.Cycle) != 2 {
				t.Errorf("the cycle has %d links: %v", len(dead.Cycle), dead)
			}
			for i, l := range dead.Cycle {
				next := dead.Cycle[(i+1)%len(dead.Cycle)]
				if l.Holder != next.Waiter || l.On == next.On || !strings.Contains(l.TakenAt, "search_test.go:") {
					t.Errorf("link %d of %v: %+v", i, dead, l)
				}
			}
		})
	}
}

func TestSearchFindsNoDeadlockOfOneRLock(t *testing.T) {
	o, found := schedule.Find(t.Context(), most, func(ctx context.Context) error {
		both := new(local.RLock)
		return eat(3, both, both)(ctx)
	})
	if found || o.Seed != most {
		t.Errorf("seed %d: %v\n%s", o.Seed, o.Err, o.Trace())
	}
}

// A semaphore has no holder, so nobody can tell a deadlock from a long wait
// until nothing can run any more.
func TestSearchIsStuckWhenNothingCanRun(t *testing.T) {
	body := func(ctx context.Context) error {
		a, b := local.NewSemaphore(1), local.NewSemaphore(1)
		a.Name, b.Name = "a", "b"
		both := func(first, second *local.Semaphore) func(context.Context) error {
			return func(ctx context.Context) error {
				if err := first.Acquire(ctx); err != nil {
					return err
				}
				defer first.Release(ctx, 1)
				if err := second.Acquire(ctx); err != nil {
					return err
				}
				return second.Release(ctx, 1)
			}
		}
		return spawn(ctx, both(a, b), both(b, a))
	}
	o, found := schedule.Find(t.Context(), most, body)
	var stuck *schedule.StuckError
	if !found || !errors.As(o.Err, &stuck) {
		t.Fatalf("after %d schedules: %v", o.Seed, o.Err)
	}
	text := stuck.Error()
	for _, want := range []string{fmt.Sprintf("seed %d", o.Seed), `"t0" waits for semaphore "b"`, `"t1" waits for semaphore "a"`} {
		if !strings.Contains(text, want) {
			t.Errorf("%q lacks %q", text, want)
		}
	}
	replayed(t, o, body)
}

// Contexts that do not end a wait must not leave goroutines behind.
func TestSearchEndsStrandsThatDoNotHeedTheirContext(t *testing.T) {
	deferred := 0
	o := schedule.Search(t.Context(), 1, func(ctx context.Context) error {
		return spawn(ctx, func(ctx context.Context) error {
			defer func() { deferred++ }()
			return local.NewSemaphore(0).Acquire(context.WithoutCancel(ctx))
		})
	})
	var stuck *schedule.StuckError
	if !errors.As(o.Err, &stuck) || deferred != 1 {
		t.Errorf("%v, and %d deferred calls", o.Err, deferred)
	}
}

func TestSearchGivesUpABodyThatGoesRound(t *testing.T) {
	o := schedule.Search(t.Context(), 1, func(ctx context.Context) error {
		for strand.Yield(ctx) == nil { //nolint:revive // the point
		}
		return nil
	})
	if o.Err == nil || !strings.Contains(o.Err.Error(), "no end in sight") {
		t.Errorf("%v", o.Err)
	}
}

func TestSearchEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	o := schedule.Search(ctx, 1, func(ctx context.Context) error {
		for strand.Yield(ctx) == nil {
			cancel(errLost)
		}
		return nil
	})
	if !errors.Is(o.Err, errLost) || !errors.Is(o.Err, context.Canceled) {
		t.Errorf("%v", o.Err)
	}
}

// busy is a body with many choices, of every primitive.
func busy(ctx context.Context) error {
	mu, ev, q := new(local.Lock), new(local.Event), local.NewSemaphore(1)
	return spawn(ctx,
		func(ctx context.Context) error {
			return errors.Join(mu.Acquire(ctx), strand.Yield(ctx), mu.Release(ctx), ev.Wait(ctx))
		},
		func(ctx context.Context) error {
			return errors.Join(mu.Acquire(ctx), strand.Sleep(ctx, time.Second), mu.Release(ctx), ev.Set(ctx))
		},
		func(ctx context.Context) error {
			for range 3 {
				if err := errors.Join(q.Acquire(ctx), strand.Yield(ctx), q.Release(ctx, 1)); err != nil {
					return err
				}
			}
			return nil
		},
		func(ctx context.Context) error {
			short, cancel := strand.WithTimeout(ctx, time.Millisecond)
			defer cancel()
			if err := ev.Wait(short); err != nil && !errors.Is(err, context.DeadlineExceeded) {
				return err
			}
			if q.TryAcquire(ctx) == nil {
				return q.Release(ctx, 1)
			}
			return nil
		},
	)
}

const hashesEnv = "TRISTRAND_PRINT_HASHES"

func hashes(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	distinct := map[uint64]bool{}
	for seed := range uint64(50) {
		o := schedule.Search(t.Context(), seed, busy)
		if o.Err != nil {
			t.Fatalf("seed %d: %v\n%s", seed, o.Err, o.Trace())
		}
		distinct[o.Hash] = true
		fmt.Fprintf(&b, "%016x\n", o.Hash)
	}
	if len(distinct) < 45 {
		t.Errorf("50 seeds gave %d schedules", len(distinct))
	}
	return b.String()
}

func TestEqualSeedsGiveEqualHashes(t *testing.T) {
	first := hashes(t)
	if os.Getenv(hashesEnv) != "" {
		fmt.Print("<<", first, ">>")
		return
	}
	if again := hashes(t); again != first {
		t.Errorf("twice in one process:\n%s\n%s", first, again)
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), exe, "-test.run=^TestEqualSeedsGiveEqualHashes$", "-test.count=1")
	cmd.Env = append(os.Environ(), hashesEnv+"=1")
	out, err := cmd.CombinedOutput()
	_, other, _ := strings.Cut(string(out), "<<")
	other, _, _ = strings.Cut(other, ">>")
	if err != nil || other != first {
		t.Errorf("in another process: %v\n%s\nhere:\n%s", err, out, first)
	}
}

// Releases are points of choice only once somebody has tried the object.
func TestSearchHandsOverBeforeAReleaseOnlyAfterATry(t *testing.T) {
	for _, tried := range []bool{false, true} {
		t.Run(fmt.Sprintf("tried=%v", tried), func(t *testing.T) {
			between := false // another strand ran between an acquire and the release
			for seed := range uint64(200) {
				o := schedule.Search(t.Context(), seed, func(ctx context.Context) error {
					mu := new(local.Lock)
					if tried {
						if err := errors.Join(mu.TryAcquire(ctx), mu.Release(ctx)); err != nil {
							return err
						}
					}
					inside := false
					return spawn(ctx,
						func(ctx context.Context) error {
							if err := mu.Acquire(ctx); err != nil {
								return err
							}
							inside = true
							if err := mu.Release(ctx); err != nil {
								return err
							}
							inside = false
							return nil
						},
						func(ctx context.Context) error {
							between = between || inside
							return nil
						})
				})
				if o.Err != nil {
					t.Fatal(o.Err)
				}
			}
			if between != tried {
				t.Errorf("handed over before a release: %v", between)
			}
		})
	}
}

func TestSearchNamesOutsiders(t *testing.T) {
	o := schedule.Search(t.Context(), 1, func(ctx context.Context) error {
		sem := local.NewSemaphore(0)
		waiting := make(chan struct{})
		done := make(chan struct{})
		go releaseFromOutside(sem, waiting, done)
		return spawn(ctx,
			func(ctx context.Context) error { return sem.Acquire(ctx) },
			func(ctx context.Context) error {
				for st, _ := sem.State(ctx); st.Waiting == 0; st, _ = sem.State(ctx) {
					if err := strand.Yield(ctx); err != nil {
						return err
					}
				}
				close(waiting) // while this strand has the turn, and keeps it
				<-done
				return nil
			})
	})
	var outside *schedule.OutsideError
	if !errors.As(o.Err, &outside) || outside.Strand != "t0" || outside.Verb != "Ready" ||
		!strings.Contains(outside.Caller, "releaseFromOutside") || !strings.Contains(outside.Caller, "search_test.go:") {
		t.Errorf("%v", o.Err)
	}
}

func releaseFromOutside(sem tristrand.Semaphore, waiting, done chan struct{}) {
	defer close(done)
	<-waiting
	if err := sem.Release(context.Background(), 1); err != nil {
		panic(err)
	}
}

func TestSearchJumpsOverTime(t *testing.T) {
	began := time.Now()
	var order []string
	o := schedule.Search(t.Context(), 1, func(ctx context.Context) error {
		sleeper := func(d time.Duration, name string) func(context.Context) error {
			return func(ctx context.Context) error {
				defer func() { order = append(order, name) }()
				return strand.Sleep(ctx, d)
			}
		}
		return spawn(ctx, sleeper(2*time.Hour, "last"), sleeper(time.Minute, "second"), sleeper(time.Second, "first"))
	})
	if got := strings.Join(order, " "); o.Err != nil || got != "first second last" || time.Since(began) > time.Hour {
		t.Errorf("%v, %s", o.Err, got)
	}
}
