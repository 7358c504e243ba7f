package coro_test

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/coro"
	"github.com/tristrand/tristrand/local"
)

// run runs fn on a hub, which must end without an error and leave no goroutine.
func run(t *testing.T, fn func(ctx context.Context) error) {
	t.Helper()
	before := runtime.NumGoroutine()
	if err := coro.Run(t.Context(), fn); err != nil {
		t.Fatal(err)
	}
	poll(t, "the end of the hub's goroutines", func() bool { return runtime.NumGoroutine() <= before })
}

func TestSleepZeroHandsOverInTurn(t *testing.T) {
	var log []string
	run(t, func(ctx context.Context) error {
		var all []*coro.Coroutine
		for _, name := range []string{"a", "b", "c"} {
			all = append(all, coro.Spawn(ctx, func(ctx context.Context) error {
				for i := range 3 {
					log = append(log, fmt.Sprint(name, i))
					if err := coro.Sleep(ctx, 0); err != nil {
						return err
					}
				}
				return nil
			}))
		}
		_, err := coro.JoinAll(ctx, all)
		return err
	})
	if want := strings.Fields("a0 b0 c0 a1 b1 c1 a2 b2 c2"); !slices.Equal(log, want) {
		t.Errorf("got %v, want %v", log, want)
	}
}

func TestSleepersWakeByDeadline(t *testing.T) {
	var log []int
	run(t, func(ctx context.Context) error {
		for _, d := range []int{3, 1, 2, 0} {
			coro.Spawn(ctx, func(ctx context.Context) error {
				defer func() { log = append(log, d) }()
				return coro.Sleep(ctx, time.Duration(d)*10*time.Millisecond)
			})
		}
		return nil // Run waits for the others
	})
	if !slices.Equal(log, []int{0, 1, 2, 3}) {
		t.Errorf("got %v", log)
	}
}

func TestQueueBetweenCoroutinesAndFromOutside(t *testing.T) {
	q := local.NewQueue[int](1)
	out := local.NewQueue[int](0)
	go func() {
		for i := range 100 {
			_ = q.Put(context.Background(), i)
		}
	}()
	run(t, func(ctx context.Context) error {
		coro.Spawn(ctx, func(ctx context.Context) error {
			for range 100 {
				v, err := q.Get(ctx)
				if err != nil {
					return err
				}
				if err := out.Put(ctx, v); err != nil {
					return err
				}
			}
			return nil
		})
		for i := range 100 {
			if v, err := out.Get(ctx); v != i || err != nil {
				return fmt.Errorf("got %d, %w", v, err)
			}
		}
		return nil
	})
}

func TestOutcomesOfCoroutines(t *testing.T) {
	boom := errors.New("boom")
	run(t, func(ctx context.Context) error {
		v := coro.SpawnValue(ctx, func(context.Context) (int, error) { return 7, nil }, coro.Name("seven"))
		if got, err := v.Result(ctx); got != 7 || err != nil || v.Name() != "seven" {
			t.Errorf("got %v, %v, %q", got, err, v.Name())
		}
		var pe *tristrand.PanicError
		if err := coro.Spawn(ctx, func(context.Context) error { panic(boom) }).Join(ctx); !errors.As(err, &pe) || !errors.Is(err, boom) {
			t.Errorf("a panic: %v", err)
		}
		if err := coro.Spawn(ctx, func(context.Context) error { runtime.Goexit(); return nil }).Join(ctx); !errors.Is(err, tristrand.ErrGoexit) {
			t.Errorf("Goexit: %v", err)
		}
		c := coro.Spawn(ctx, func(ctx context.Context) error { return coro.Sleep(ctx, time.Hour) })
		if err := coro.Sleep(ctx, 0); err != nil {
			return err
		}
		c.Kill(nil)
		if err := c.Join(ctx); !errors.Is(err, coro.ErrKilled) || !errors.Is(err, context.Canceled) {
			t.Errorf("killed: %v", err)
		}
		never := coro.Spawn(ctx, func(context.Context) error { t.Error("it ran"); return nil })
		never.Kill(boom)
		if err := never.Join(ctx); !errors.Is(err, coro.ErrKilled) || !errors.Is(err, boom) {
			t.Errorf("killed before it began: %v", err)
		}
		return nil
	})
}

func TestDeadlockErrorListsWhoWaitsForWhat(t *testing.T) {
	q := local.NewQueue[int](0)
	q.Name = "orders"
	e := new(local.Event)
	e.Name = "lunch"
	began := time.Now()
	err := coro.Run(t.Context(), func(ctx context.Context) error {
		coro.Spawn(ctx, func(ctx context.Context) error { return e.Wait(ctx) }, coro.Name("cook"))
		_, err := q.Get(ctx)
		return err
	})
	var d *tristrand.DeadlockError
	if !errors.As(err, &d) || len(d.Cycle) != 2 || !strings.Contains(err.Error(), "orders") ||
		!strings.Contains(err.Error(), `"cook"`) || !strings.Contains(err.Error(), "lunch") {
		t.Errorf("after %v: %v", time.Since(began), err)
	}
}

func TestAwaitLetsTheOthersRun(t *testing.T) {
	run(t, func(ctx context.Context) error {
		block := make(chan int)
		coro.Spawn(ctx, func(context.Context) error { block <- 5; return nil })
		// A send in a coroutine would block the hub, if the receiver were in it.
		v, err := coro.Await(ctx, func(context.Context) (int, error) { return <-block, nil })
		if v != 5 || err != nil {
			t.Errorf("got %v, %v", v, err)
		}
		var pe *tristrand.PanicError
		if _, err := coro.Await(ctx, func(context.Context) (int, error) { panic(1) }); !errors.As(err, &pe) {
			t.Errorf("a panic: %v", err)
		}
		if _, err := coro.Await(ctx, func(context.Context) (int, error) { runtime.Goexit(); return 0, nil }); !errors.Is(err, tristrand.ErrGoexit) {
			t.Errorf("Goexit: %v", err)
		}
		return nil
	})
}

func TestLockedThreadsInAHub(t *testing.T) {
	run(t, func(ctx context.Context) error {
		runtime.LockOSThread()
		if err := coro.Sleep(ctx, 0); !errors.Is(err, coro.ErrThreadLocked) {
			t.Errorf("Sleep(0): %v", err)
		}
		if err := coro.Sleep(ctx, time.Millisecond); !errors.Is(err, coro.ErrThreadLocked) {
			t.Errorf("Sleep: %v", err)
		}
		if _, err := new(local.Queue[int]).Get(ctx); !errors.Is(err, coro.ErrThreadLocked) {
			t.Errorf("Get: %v", err)
		}
		runtime.UnlockOSThread()
		c := coro.Spawn(ctx, func(context.Context) error { runtime.LockOSThread(); return nil })
		if err := c.Join(ctx); !errors.Is(err, coro.ErrThreadLocked) {
			t.Errorf("one that ends locked: %v", err)
		}
		return coro.Sleep(ctx, time.Millisecond)
	})
}

func TestGreenletsAndGeneratorsInAHubWaitAsTheirCoroutine(t *testing.T) {
	q := local.NewQueue[int](1)
	run(t, func(ctx context.Context) error {
		coro.Spawn(ctx, func(ctx context.Context) error {
			for i := range 10 {
				if err := q.Put(ctx, i); err != nil {
					return err
				}
			}
			return nil
		})
		g := coro.New(func(any) (any, error) {
			a, err := q.Get(ctx)
			if err != nil {
				return nil, err
			}
			b, err := q.Get(ctx)
			return a*10 + b, err
		})
		if v, err := g.Switch(nil); v != 1 || err != nil {
			t.Errorf("a greenlet: got %v, %v", v, err)
		}
		gen := coro.NewGenerator(func(yield func(int) (struct{}, error)) error {
			for {
				v, err := q.Get(ctx)
				if err != nil {
					return err
				}
				if _, err := yield(v); err != nil {
					return err
				}
			}
		})
		defer func() { _ = gen.Close() }()
		for want := 2; want < 10; want++ {
			if v, err := gen.Next(); v != want || err != nil {
				t.Errorf("a generator: got %v, %v, want %d", v, err, want)
			}
		}
		return nil
	})
}

func TestAHogIsReportedWithItsStack(t *testing.T) {
	for name, keep := range map[string]func(reported func() bool){
		"one that blocks": func(reported func() bool) { poll(t, "the report", reported) },
		"one that computes": func(reported func() bool) {
			for began := time.Now(); !reported() && time.Since(began) < time.Minute; {
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			var got atomic.Pointer[coro.HogError]
			tristrand.OnReport(func(_ context.Context, err error) {
				if hog, ok := errors.AsType[*coro.HogError](err); ok {
					got.CompareAndSwap(nil, hog)
				}
			})
			defer tristrand.OnReport(nil)
			h := &coro.Hub{Name: "sty", HogAfter: 20 * time.Millisecond}
			err := h.Run(t.Context(), func(ctx context.Context) error {
				return coro.Spawn(ctx, func(context.Context) error {
					keep(func() bool { return got.Load() != nil })
					return nil
				}, coro.Name("pig")).Join(ctx)
			})
			if err != nil {
				t.Fatal(err)
			}
			hog := got.Load()
			if hog == nil || hog.Hub != "sty" || hog.Coroutine != "pig" || !strings.Contains(string(hog.Stack), "TestAHogIsReported") {
				t.Errorf("got %v", hog)
			}
		})
	}
}

func TestTheOrderOfHandOversIsTheSameOnEveryRun(t *testing.T) {
	once := func() (sum uint64) {
		synctest.Test(t, func(t *testing.T) {
			hash := fnv.New64a()
			q := local.NewQueue[int](2)
			l := new(local.Lock)
			sem := local.NewSemaphore(3)
			err := coro.Run(t.Context(), func(ctx context.Context) error {
				for i := range 20 {
					coro.Spawn(ctx, func(ctx context.Context) error {
						for j := range 20 {
							_, _ = fmt.Fprintln(hash, i, j, time.Now().UnixNano())
							if err := errors.Join(sem.Acquire(ctx), coro.Sleep(ctx, time.Duration(i*j%7)*time.Millisecond),
								sem.Release(ctx, 1), l.Acquire(ctx), q.Put(ctx, i), l.Release(ctx)); err != nil {
								return err
							}
						}
						return nil
					})
				}
				for range 400 {
					v, err := q.Get(ctx)
					if err != nil {
						return err
					}
					_, _ = fmt.Fprintln(hash, "got", v)
				}
				return nil
			})
			if err != nil {
				t.Error(err)
			}
			sum = hash.Sum64()
		})
		return sum
	}
	first := once()
	for range 5 {
		if again := once(); again != first {
			t.Fatalf("the hashes of two runs are %x and %x", first, again)
		}
	}
}
