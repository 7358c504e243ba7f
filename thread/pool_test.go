package thread_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/local"
	"github.com/tristrand/tristrand/strand"
	"github.com/tristrand/tristrand/thread"
)

// name returns the name of the worker that runs it.
func name(ctx context.Context) (string, error) { return strand.Current(ctx).Name(), nil }

func TestPoolDefaults(t *testing.T) {
	inBubble(t, func(ctx context.Context, t *testing.T) {
		var pool thread.Pool
		if st := pool.Stats(); st.QueueCap != 1024 || st.Workers != 0 {
			t.Errorf("an unused pool counts %+v", st)
		}
		gate := make(chan struct{})
		n := runtime.GOMAXPROCS(0)
		for range n + 5 {
			tristrand.Go(ctx, &pool, func(context.Context) (int, error) { <-gate; return 0, nil })
		}
		synctest.Wait()
		if st := pool.Stats(); st.Workers != n || st.Busy != n || st.Queued != 5 || st.QueueCap != 1024 {
			t.Errorf("with %d jobs the pool counts %+v", n+5, st)
		}
		close(gate)
		if err := pool.Close(ctx); err != nil {
			t.Error(err)
		}
	})
}

func TestPoolRefusesNegativeNumbers(t *testing.T) {
	for _, pool := range []*thread.Pool{{Workers: -1, Name: "p"}, {Queue: -1, Name: "p"}} {
		ctx := t.Context()
		err := pool.Start(ctx)
		if err == nil || !strings.Contains(err.Error(), "-1") || !strings.Contains(err.Error(), `"p"`) {
			t.Errorf("Start returns %v", err)
		}
		if _, jerr := tristrand.Go(ctx, pool, name).Result(ctx); jerr == nil || jerr.Error() != err.Error() {
			t.Errorf("a job gets %v, want %v", jerr, err)
		}
		if terr := pool.TrySubmit(ctx, nil); terr == nil {
			t.Error("TrySubmit returns no error")
		}
		if err := pool.Close(ctx); err != nil {
			t.Errorf("Close returns %v", err)
		}
	}
	if err := new(thread.Pool).Start(t.Context()); err != nil {
		t.Errorf("Start of a zero pool returns %v", err)
	}
}

func TestPoolStartsThreadsWhenNoneIsIdle(t *testing.T) {
	inBubble(t, func(ctx context.Context, t *testing.T) {
		pool := &thread.Pool{Workers: 10, Name: "p"}
		var names []string
		for range 20 {
			synctest.Wait() // the worker is idle again
			n, err := tristrand.Go(ctx, pool, name).Result(ctx)
			if err != nil {
				t.Error(err)
			}
			names = append(names, n)
		}
		if len(slices.Compact(names)) != 1 || names[0] != "p-0" || pool.Stats().Workers != 1 {
			t.Errorf("jobs one after another were run by %v", names)
		}
		gate := make(chan struct{})
		for range 3 {
			tristrand.Go(ctx, pool, func(context.Context) (int, error) { <-gate; return 0, nil })
		}
		synctest.Wait()
		if n := pool.Stats().Workers; n != 3 {
			t.Errorf("three jobs at once have %d workers", n)
		}
		close(gate)
		if err := pool.Close(ctx); err != nil {
			t.Error(err)
		}
		if n := pool.Stats().Workers; n != 0 {
			t.Errorf("%d workers after Close", n)
		}
	})
}

func TestPoolNames(t *testing.T) {
	inBubble(t, func(ctx context.Context, t *testing.T) {
		seen := map[string]bool{}
		for _, pool := range []*thread.Pool{{Workers: 3, Name: "mine"}, {Workers: 3}, {Workers: 3}} {
			gate := make(chan struct{})
			var fs []*tristrand.Future[string]
			for range 3 {
				fs = append(fs, tristrand.Go(ctx, pool, func(ctx context.Context) (string, error) { <-gate; return name(ctx) }))
			}
			synctest.Wait()
			close(gate)
			for _, f := range fs {
				n, err := f.Result(ctx)
				if err != nil || seen[n] {
					t.Errorf("the name %q: %v", n, err)
				}
				seen[n] = true
			}
			if err := pool.Close(ctx); err != nil {
				t.Error(err)
			}
		}
		for i := range 3 {
			if !seen[fmt.Sprint("mine-", i)] {
				t.Errorf("the names are %v", seen)
			}
		}
	})
}

func TestPoolLetsIdleThreadsGo(t *testing.T) {
	inBubble(t, func(ctx context.Context, t *testing.T) {
		pool := &thread.Pool{Workers: 4, IdleTimeout: time.Minute}
		gate := make(chan struct{})
		for range 4 {
			tristrand.Go(ctx, pool, func(context.Context) (int, error) { <-gate; return 0, nil })
		}
		synctest.Wait()
		close(gate)
		for range 200 { // one worker is kept busy, more or less
			time.Sleep(time.Second)
			if _, err := tristrand.Go(ctx, pool, name).Result(ctx); err != nil {
				t.Error(err)
			}
		}
		if n := pool.Stats().Workers; n != 1 {
			t.Errorf("%d workers, of which one has had work lately", n)
		}
		time.Sleep(3 * time.Minute)
		synctest.Wait()
		if n := pool.Stats().Workers; n != 0 {
			t.Errorf("%d workers after a long time without work", n)
		}
		if _, err := tristrand.Go(ctx, pool, name).Result(ctx); err != nil {
			t.Error(err)
		}
		if err := pool.Close(ctx); err != nil {
			t.Error(err)
		}
		keeper := &thread.Pool{Workers: 1, IdleTimeout: -1}
		if _, err := tristrand.Go(ctx, keeper, name).Result(ctx); err != nil {
			t.Error(err)
		}
		time.Sleep(1000 * time.Hour)
		synctest.Wait()
		if n := keeper.Stats().Workers; n != 1 {
			t.Errorf("%d workers, want one kept for ever", n)
		}
		if err := keeper.Close(ctx); err != nil {
			t.Error(err)
		}
	})
}

func TestPoolInit(t *testing.T) {
	inBubble(t, func(ctx context.Context, t *testing.T) {
		var inits atomic.Int32
		var own thread.Local[bool]
		pool := &thread.Pool{Workers: 3, Init: func(ctx context.Context) error {
			inits.Add(1)
			*own.Get(ctx) = true
			return strand.Sleep(ctx, time.Second)
		}}
		for v, err := range tristrand.Func(func(ctx context.Context, _ int) (bool, error) {
			return *own.Get(ctx), strand.Sleep(ctx, time.Second)
		}).Map(ctx, pool, slices.Values(make([]int, 12))) {
			if !v || err != nil {
				t.Errorf("a job ran before Init: %v, %v", v, err)
			}
		}
		if n := inits.Load(); n != 3 {
			t.Errorf("Init was called %d times on three workers", n)
		}
		if err := pool.Close(ctx); err != nil {
			t.Error(err)
		}
	})
}

func TestPoolInitFails(t *testing.T) {
	for what, init := range map[string]func(context.Context) error{
		"error":  func(context.Context) error { return errOwn },
		"panic":  func(context.Context) error { panic(errOwn) },
		"Goexit": func(context.Context) error { runtime.Goexit(); return nil },
	} {
		t.Run(what, func(t *testing.T) {
			told := reports(t)
			inBubble(t, func(ctx context.Context, t *testing.T) {
				pool := &thread.Pool{Workers: 1, Queue: 2, Name: "p", Init: func(ctx context.Context) error {
					if err := strand.Sleep(ctx, time.Second); err != nil {
						return err
					}
					return init(ctx)
				}}
				var waiting []*tristrand.Future[string]
				for range 2 {
					waiting = append(waiting, tristrand.Go(ctx, pool, name, tristrand.Retries(2)))
				}
				full := thread.Start(ctx, "", func(ctx context.Context) error {
					_, err := tristrand.Go(ctx, pool, name).Result(ctx)
					return err
				})
				wrong := func(err error) bool {
					return !errors.Is(err, tristrand.ErrClosed) || !errors.Is(err, errOwn) && !errors.Is(err, tristrand.ErrGoexit) ||
						!strings.Contains(err.Error(), `"p"`)
				}
				for _, f := range waiting {
					if _, err := f.Result(ctx); wrong(err) {
						t.Errorf("a job that waited gets %v", err)
					}
				}
				if err := full.Join(ctx); wrong(err) {
					t.Errorf("a Submit that waited for room gets %v", err)
				}
				if _, err := tristrand.Go(ctx, pool, name).Result(ctx); wrong(err) {
					t.Errorf("a later job gets %v", err)
				}
				if err := pool.Close(ctx); err != nil {
					t.Errorf("Close returns %v", err)
				}
				if len(told()) == 0 {
					t.Error("nothing was reported")
				}
			})
		})
	}
}

func TestPoolJobThatKeepsALock(t *testing.T) {
	told := reports(t)
	inBubble(t, func(ctx context.Context, t *testing.T) {
		pool := &thread.Pool{Workers: 1}
		var l local.Lock
		keep := tristrand.Go(ctx, pool, func(ctx context.Context) (string, error) {
			err := l.Acquire(ctx)
			n, _ := name(ctx)
			return n, err
		})
		first, err := keep.Result(ctx)
		if err != nil {
			t.Error(err)
		}
		second, err := tristrand.Go(ctx, pool, name).Result(ctx)
		if err != nil || second == first {
			t.Errorf("the next job is run by %q, %v, after %q kept a lock", second, err, first)
		}
		if err := l.Acquire(ctx); !errors.Is(err, tristrand.ErrOwnerDied) {
			t.Errorf("Acquire of the lock that was kept returns %v", err)
		}
		if err := l.Recover(ctx); err != nil {
			t.Error(err)
		}
		if err := l.Release(ctx); err != nil {
			t.Error(err)
		}
		if len(told()) != 1 {
			t.Errorf("reported: %v", told())
		}
		if err := pool.Close(ctx); err != nil {
			t.Error(err)
		}
	})
}

func TestPoolGrace(t *testing.T) {
	for _, tt := range []struct{ grace, want time.Duration }{
		{0, 5 * time.Second}, {time.Second, time.Second}, {-1, 0},
	} {
		inBubble(t, func(ctx context.Context, t *testing.T) {
			pool := &thread.Pool{Workers: 1, Grace: tt.grace}
			gate := make(chan struct{})
			tristrand.Go(ctx, pool, func(context.Context) (int, error) { <-gate; return 0, nil })
			synctest.Wait()
			ended, cancel := context.WithCancel(ctx)
			cancel()
			began := time.Now()
			err := pool.Close(ended)
			var left *tristrand.CloseError
			if !errors.As(err, &left) || len(left.Left) != 1 || time.Since(began) != tt.want {
				t.Errorf("Grace %v: Close returns %v after %v", tt.grace, err, time.Since(began))
			}
			close(gate)
		})
	}
}

// TestPoolCloseDeadlock has Close wait for a job that waits for the closer's lock.
// Another worker is idle, and helps nobody.
func TestPoolCloseDeadlock(t *testing.T) {
	inBubble(t, func(ctx context.Context, t *testing.T) {
		for _, closeFirst := range []bool{false, true} {
			pool := &thread.Pool{Workers: 2}
			var l local.Lock
			if err := l.Acquire(ctx); err != nil {
				t.Fatal(err)
			}
			f := tristrand.Go(ctx, pool, func(ctx context.Context) (int, error) {
				if closeFirst {
					time.Sleep(time.Second)
				}
				return 0, tristrand.With(ctx, &l, func(context.Context) error { return nil })
			})
			synctest.Wait()
			err := pool.Close(ctx)
			if rerr := l.Release(ctx); rerr != nil {
				t.Error(rerr)
			}
			_, jerr := f.Result(ctx)
			if isDeadlock(err) == isDeadlock(jerr) {
				t.Errorf("Close, first: %v, gets %v and the job %v, want one refused", closeFirst, err, jerr)
			}
		}
	})
}
