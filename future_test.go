package tristrand_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/strand"
	"github.com/tristrand/tristrand/thread"
)

// TestResultStorm has many wait under ctxs that end at about the time at which
// the job does. Each gets the value or its ctx's error, and nobody is forgotten.
func TestResultStorm(t *testing.T) {
	pool := newPool(t, 2, 16)
	rounds := 300
	if testing.Short() || racing {
		rounds = 100
	}
	for range rounds {
		gate := make(chan struct{})
		f := tristrand.Go(t.Context(), pool, func(context.Context) (int, error) { <-gate; return 7, nil })
		var wg sync.WaitGroup
		for i := range 6 {
			ctx, cancel := context.WithCancel(t.Context())
			started := make(chan struct{})
			wg.Go(func() {
				ctx, leave := strand.Adopt(ctx, fmt.Sprint("waiter ", i))
				defer leave()
				close(started)
				v, err := f.Result(ctx)
				switch {
				case err == nil && v != 7:
					t.Errorf("Result is %d", v)
				case err != nil && !errors.Is(err, context.Canceled):
					t.Errorf("Result fails with %v", err)
				case err != nil && i%2 == 0:
					t.Errorf("Result of a waiter that did not give up fails with %v", err)
				}
			})
			<-started
			if i%2 == 1 {
				wg.Go(cancel)
			}
			defer cancel()
		}
		wg.Go(func() { close(gate) })
		wg.Wait()
	}
}

// TestNoTryAfterCancel cancels a job that fails all the time, wherever it is.
func TestNoTryAfterCancel(t *testing.T) {
	pool := newPool(t, 2, 16)
	rounds := 2000
	if testing.Short() || racing {
		rounds = 500
	}
	for i := range rounds {
		ctx, cancel := context.WithCancel(t.Context())
		var tries, after atomic.Int32
		var over atomic.Bool
		f := tristrand.Go(ctx, pool, func(context.Context) (int, error) {
			tries.Add(1)
			if over.Load() {
				after.Add(1)
			}
			return 0, errOwn
		}, tristrand.Retries(1<<20), tristrand.Backoff(0, 0), tristrand.Timeout(time.Hour))
		for tries.Load() < int32(i%3) {
			time.Sleep(time.Microsecond)
		}
		if i%2 == 0 {
			f.Cancel()
		} else {
			cancel()
		}
		over.Store(true) // a try that began before may look at it too late
		if _, err := f.Result(t.Context()); err == nil {
			t.Fatal("the job has succeeded")
		}
		if n := after.Load(); n > 1 {
			t.Fatalf("%d tries began after the job had been cancelled", n)
		}
		cancel()
	}
}

// A meddler is an error that cancels its job when it is looked at, which is while
// the try that failed with it is being settled.
type meddler struct{ cancel func() }

func (m *meddler) Error() string { return "meddling" }
func (m *meddler) Is(error) bool { m.cancel(); return false }

func TestCancelWhileATryIsSettled(t *testing.T) {
	for _, limit := range []time.Duration{0, time.Hour} { // with one, a try is claimed before it is settled
		inBubble(t, 1, 8, func(ctx context.Context, t *testing.T, pool *thread.Pool) {
			var f *tristrand.Future[int]
			known := make(chan struct{})
			tries := 0
			f = tristrand.Go(ctx, pool, func(context.Context) (int, error) {
				<-known
				tries++
				return 0, &meddler{func() { f.Cancel() }}
			}, tristrand.Retries(3), tristrand.Backoff(time.Second, time.Second), tristrand.Timeout(limit))
			close(known)
			if _, err := f.Result(ctx); err == nil || tries != 1 {
				t.Errorf("limit %v: %d tries, %v", limit, tries, err)
			}
		})
	}
}

func TestEndOfContextIsToldWithoutTheEngine(t *testing.T) {
	inBubble(t, 1, 8, func(ctx context.Context, t *testing.T, pool *thread.Pool) {
		gate := make(chan struct{})
		tristrand.Go(ctx, pool, func(context.Context) (int, error) { <-gate; return 0, nil })
		synctest.Wait()
		short, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		f := square.Submit(short, pool, 3)
		began := time.Now()
		if _, err := f.Result(ctx); !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, tristrand.ErrCancelled) {
			t.Errorf("Result gives %v", err)
		}
		if d := time.Since(began); d != time.Second {
			t.Errorf("it was told after %v", d)
		}
		g := square.Submit(short, pool, 3)
		if _, err := g.TryResult(); !errors.Is(err, context.DeadlineExceeded) || g.State() != tristrand.Failed {
			t.Errorf("a job under a ctx that has ended is %v, %v", g.State(), err)
		}
		close(gate)
	})
}

func TestTimeoutOfEachTry(t *testing.T) {
	inBubble(t, 1, 8, func(ctx context.Context, t *testing.T, pool *thread.Pool) {
		var causes []error
		began := time.Now()
		f := tristrand.Go(ctx, pool, func(ctx context.Context) (int, error) {
			if d, ok := ctx.Deadline(); !ok || time.Until(d) != time.Second {
				t.Errorf("the try's deadline is in %v", time.Until(d))
			}
			<-ctx.Done()
			causes = append(causes, context.Cause(ctx))
			return 0, ctx.Err()
		}, tristrand.Timeout(time.Second), tristrand.Retries(2), tristrand.Backoff(2*time.Second, 2*time.Second))
		_, err := f.Result(ctx)
		if !errors.Is(err, tristrand.ErrTimeout) {
			t.Errorf("Result gives %v", err)
		}
		if d := time.Since(began); d < 5*time.Second || d > 7*time.Second { // three tries and two pauses of 1 to 2 s
			t.Errorf("three tries took %v", d)
		}
		synctest.Wait()
		for _, cause := range causes {
			if !errors.Is(cause, tristrand.ErrTimeout) {
				t.Errorf("the cause in a try is %v", cause)
			}
		}
		if len(causes) != 3 {
			t.Errorf("%d tries", len(causes))
		}
	})
}

func TestStateNames(t *testing.T) {
	if got := tristrand.FutureState(99).String(); got != "state 99" {
		t.Errorf("an unknown state is %q", got)
	}
}
