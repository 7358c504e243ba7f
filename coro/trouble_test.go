package coro_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/coro"
	"github.com/tristrand/tristrand/local"
)

func TestContextsThatHaveEnded(t *testing.T) {
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := coro.Run(ended, func(context.Context) error { t.Error("it ran"); return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("Run: %v", err)
	}
	run(t, func(ctx context.Context) error {
		ended, cancel := context.WithCancel(ctx)
		cancel()
		if err := coro.Sleep(ended, time.Hour); !errors.Is(err, context.Canceled) {
			t.Errorf("Sleep: %v", err)
		}
		if _, err := coro.Await(ended, func(context.Context) (int, error) { t.Error("it ran"); return 0, nil }); !errors.Is(err, context.Canceled) {
			t.Errorf("Await: %v", err)
		}
		c := coro.Spawn(ctx, func(ctx context.Context) error { return coro.Sleep(ctx, 0) })
		if err := c.Join(ended); !errors.Is(err, context.Canceled) {
			t.Errorf("Join: %v", err)
		}
		if _, err := coro.JoinAll(ended, []*coro.Coroutine{c}); !errors.Is(err, context.Canceled) {
			t.Errorf("JoinAll: %v", err)
		}
		if err := coro.Sleep(ctx, -time.Second); err != nil {
			t.Errorf("a sleep below 0: %v", err)
		}
		return c.Join(ctx)
	})
}

func TestSpawnWhereThereIsNoHub(t *testing.T) {
	nothing := func(context.Context) error { return nil }
	if err := coro.Spawn(t.Context(), nothing).Join(t.Context()); !errors.Is(err, coro.ErrNoHub) {
		t.Errorf("outside a hub: %v", err)
	}
	var of context.Context
	run(t, func(ctx context.Context) error { of = ctx; return nil })
	c := coro.Spawn(of, nothing)
	if err := c.Join(t.Context()); !errors.Is(err, coro.ErrHubEnded) || !errors.Is(err, tristrand.ErrClosed) {
		t.Errorf("after the hub has ended: %v", err)
	}
	if c.Kill(nil) {
		t.Error("one that never was has been killed")
	}
}

func TestKillInEachState(t *testing.T) {
	boom := errors.New("boom")
	run(t, func(ctx context.Context) error {
		linked := 0
		later := coro.SpawnAfter(ctx, time.Hour, func(context.Context) error { t.Error("it ran"); return nil })
		later.OnDone(func(*coro.Coroutine) { linked++ })
		later.Kill(nil)
		if err := later.Join(ctx); !errors.Is(err, coro.ErrKilled) || linked != 1 {
			t.Errorf("one that was to start later: %v, %d", err, linked)
		}
		if later.Kill(nil) {
			t.Error("a dead one was killed")
		}
		var l local.Lock
		holder := coro.Spawn(ctx, func(ctx context.Context) error {
			return tristrand.With(ctx, &l, func(ctx context.Context) error { return coro.Sleep(ctx, time.Hour) })
		})
		waiter := coro.Spawn(ctx, func(ctx context.Context) error { return l.Acquire(ctx) })
		_ = coro.Sleep(ctx, 0)
		waiter.Kill(boom)
		holder.Kill(boom)
		if err := waiter.Join(ctx); !errors.Is(err, boom) || !errors.Is(err, coro.ErrKilled) {
			t.Errorf("one that waits for a lock: %v", err)
		}
		if err := holder.Join(ctx); !errors.Is(err, boom) {
			t.Errorf("one that holds a lock: %v", err)
		}
		if err := l.TryAcquire(ctx); err != nil {
			t.Errorf("its lock: %v", err)
		}
		var self *coro.Coroutine
		self = coro.Spawn(ctx, func(ctx context.Context) error {
			self.Kill(nil)
			return coro.Sleep(ctx, time.Hour)
		})
		if err := self.Join(ctx); !errors.Is(err, coro.ErrKilled) {
			t.Errorf("itself: %v", err)
		}
		// One that has resumed another, in the sense of the stacks, and is killed
		// by that one.
		var first *coro.Coroutine
		first = coro.Spawn(ctx, func(ctx context.Context) error {
			coro.Spawn(ctx, func(context.Context) error { first.Kill(nil); return nil })
			return coro.Sleep(ctx, time.Hour)
		})
		if err := first.Join(ctx); !errors.Is(err, coro.ErrKilled) {
			t.Errorf("one below another: %v", err)
		}
		outside := coro.Spawn(ctx, func(ctx context.Context) error { return coro.Sleep(ctx, time.Hour) })
		go outside.Kill(nil)
		if err := outside.Join(ctx); !errors.Is(err, coro.ErrKilled) {
			t.Errorf("from a goroutine: %v", err)
		}
		return nil
	})
}

func TestCallbacksThatPanic(t *testing.T) {
	var mu sync.Mutex
	var reports []string
	tristrand.OnReport(func(_ context.Context, err error) {
		mu.Lock()
		defer mu.Unlock()
		reports = append(reports, err.Error())
	})
	defer tristrand.OnReport(nil)
	run(t, func(ctx context.Context) error {
		called := 0
		c := coro.Spawn(ctx, func(context.Context) error { return nil })
		c.OnDone(func(*coro.Coroutine) { called++; panic("ouch") })
		c.OnDone(func(*coro.Coroutine) { called++; runtime.Goexit() })
		c.OnDone(func(*coro.Coroutine) { called++ })
		if err := c.Join(ctx); err != nil || called != 3 {
			t.Errorf("got %v, %d", err, called)
		}
		return coro.Sleep(ctx, time.Millisecond)
	})
	if len(reports) != 2 || !strings.Contains(reports[0], "ouch") {
		t.Errorf("got %q", reports)
	}
}

func TestAwaitThatNeverReturnsIsNamed(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	release := make(chan struct{})
	defer close(release)
	h := &coro.Hub{Grace: time.Millisecond}
	err := h.Run(ctx, func(ctx context.Context) error {
		stuck := coro.Spawn(ctx, func(ctx context.Context) error {
			_, err := coro.Await(ctx, func(context.Context) (int, error) { <-release; return 0, nil })
			return err
		}, coro.Name("stuck one"))
		_ = coro.Sleep(ctx, 0)
		cancel()
		return stuck.Join(context.WithoutCancel(ctx))
	})
	var left *tristrand.CloseError
	if !errors.As(err, &left) || len(left.Left) != 1 || !strings.Contains(left.Left[0], "stuck one") || !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// TestGoexitOfTheFirstCoroutine is what t.FailNow does in a coroutine.
func TestGoexitOfTheFirstCoroutine(t *testing.T) {
	ran := false
	err := coro.Run(t.Context(), func(ctx context.Context) error {
		coro.Spawn(ctx, func(ctx context.Context) error { ran = true; return coro.Sleep(ctx, time.Millisecond) })
		runtime.Goexit()
		return nil
	})
	if !errors.Is(err, tristrand.ErrGoexit) || !ran {
		t.Errorf("got %v, %v", err, ran)
	}
}

func TestAMillionTimers(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes seconds")
	}
	coroutines, timers := 1000, 1000
	if racing {
		coroutines = 50
	}
	synctest.Test(t, func(t *testing.T) {
		err := coro.Run(t.Context(), func(ctx context.Context) error {
			for i := range coroutines {
				coro.Spawn(ctx, func(ctx context.Context) error {
					for j := range timers { // each is set, most never ring
						if _, err := coro.Timeout(ctx, time.Duration(i+j+1)*time.Hour, func(ctx context.Context) error {
							if j%100 == 0 {
								return coro.Sleep(ctx, time.Duration(i+1)*time.Microsecond)
							}
							return nil
						}); err != nil {
							return err
						}
					}
					return nil
				})
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	})
	// And as many at once.
	at := 0
	synctest.Test(t, func(t *testing.T) {
		err := coro.Run(t.Context(), func(ctx context.Context) error {
			s := coro.Spawn(ctx, func(context.Context) error { return nil })
			h := s.Strand().Scheduler()
			for i := range coroutines * timers {
				h.After(time.Duration(1+i*7919%1000)*time.Millisecond, func() { at++ })
			}
			return coro.Sleep(ctx, 2*time.Second)
		})
		if err != nil || at != coroutines*timers {
			t.Errorf("%d of %d rang, %v", at, coroutines*timers, err)
		}
	})
}

func TestNestedTimeoutsAreToldApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		err := coro.Run(t.Context(), func(ctx context.Context) error {
			outer, err := coro.Timeout(ctx, time.Second, func(ctx context.Context) error {
				inner, err := coro.Timeout(ctx, time.Hour, func(ctx context.Context) error { return coro.Sleep(ctx, 2*time.Hour) })
				if inner {
					t.Error("the inner one has fired")
				}
				return err
			})
			if !outer || !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("the outer one: %v, %v", outer, err)
			}
			inner, err := coro.Timeout(ctx, time.Hour, func(ctx context.Context) error {
				inner, err := coro.Timeout(ctx, time.Second, func(ctx context.Context) error { return coro.Sleep(ctx, 2*time.Hour) })
				if !inner || err == nil {
					t.Errorf("the inner one: %v, %v", inner, err)
				}
				return nil
			})
			if inner || err != nil {
				t.Errorf("the outer one, which has not fired: %v, %v", inner, err)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	})
}

func TestGreenletsLeftInACoroutineAreEndedAndNamed(t *testing.T) {
	var mu sync.Mutex
	var got error
	tristrand.OnReport(func(_ context.Context, err error) { mu.Lock(); defer mu.Unlock(); got = err })
	defer tristrand.OnReport(nil)
	cleaned := false
	run(t, func(ctx context.Context) error {
		return coro.Spawn(ctx, func(context.Context) error {
			var a *coro.Greenlet
			a = coro.New(func(any) (any, error) {
				b := coro.New(func(any) (any, error) {
					defer func() { cleaned = true }()
					return a.Switch(nil)
				})
				b.SetName("left behind")
				return b.Switch(nil)
			})
			_, err := a.Switch(nil)
			return err
		}).Join(ctx)
	})
	var left *coro.LeftError
	if !errors.As(got, &left) || fmt.Sprint(left.Left) != `[greenlet "left behind"]` || !cleaned {
		t.Errorf("got %v, %v", got, cleaned)
	}
}

func TestJoinAllWithACountAndATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		err := coro.Run(t.Context(), func(ctx context.Context) error {
			var all []*coro.Coroutine
			for i := range 5 {
				all = append(all, coro.Spawn(ctx, func(ctx context.Context) error { return coro.Sleep(ctx, time.Duration(5-i)*time.Second) }))
			}
			ended, err := coro.JoinAll(ctx, all, coro.Count(2))
			if err != nil || len(ended) != 2 || ended[0] != all[4] || ended[1] != all[3] {
				t.Errorf("a count: %v, %v", ended, err)
			}
			ended, err = coro.JoinAll(ctx, all, coro.Within(1500*time.Millisecond))
			if !errors.Is(err, context.DeadlineExceeded) || len(ended) != 3 {
				t.Errorf("a time: %v, %v", ended, err)
			}
			if err := func() error { _, err := coro.JoinAll(ctx, append(all, all...)); return err }(); err != nil {
				t.Error(err)
			}
			var g coro.Group
			for range 3 {
				g.Spawn(ctx, func(ctx context.Context) error { return coro.Sleep(ctx, time.Hour) })
			}
			g.Kill(nil)
			if err := g.Join(ctx); err != nil || g.Len() != 0 {
				t.Errorf("a group: %v, %d", err, g.Len())
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	})
}
