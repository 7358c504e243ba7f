package tristrand_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/strand"
	"github.com/tristrand/tristrand/thread"
)

// inBubble runs fn as a strand in a synctest bubble, where time is fake, with a
// pool that is closed afterwards.
func inBubble(t *testing.T, workers, queue int, fn func(ctx context.Context, t *testing.T, pool *thread.Pool)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ctx, leave := strand.Adopt(t.Context(), "test")
		defer leave()
		pool := &thread.Pool{Workers: workers, Queue: queue}
		defer func() {
			if err := pool.Close(context.WithoutCancel(ctx)); err != nil {
				t.Errorf("Close: %v", err)
			}
		}()
		fn(ctx, t, pool)
	})
}

// newPool returns a pool that the end of the test closes.
func newPool(t testing.TB, workers, queue int) *thread.Pool {
	t.Helper()
	pool := &thread.Pool{Workers: workers, Queue: queue}
	t.Cleanup(func() {
		if err := pool.Close(context.Background()); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return pool
}

// asStrand makes a strand of the test.
func asStrand(t testing.TB) context.Context {
	ctx, leave := strand.Adopt(t.Context(), "test")
	t.Cleanup(leave)
	return ctx
}

// panics returns what fn panics with.
func panics(fn func()) (v any) {
	defer func() { v = recover() }()
	fn()
	return nil
}

// reports collects what goes to OnReport until the test ends.
func reports(t *testing.T) func() []error {
	var mu sync.Mutex
	var all []error
	tristrand.OnReport(func(_ context.Context, err error) {
		mu.Lock()
		defer mu.Unlock()
		all = append(all, err)
	})
	t.Cleanup(func() { tristrand.OnReport(nil) })
	return func() []error {
		mu.Lock()
		defer mu.Unlock()
		return append([]error(nil), all...)
	}
}

// eventually waits for what other goroutines must bring about.
func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for began := time.Now(); !cond(); time.Sleep(time.Millisecond) {
		if time.Since(began) > time.Minute {
			t.Fatalf("%s has not come about", what)
		}
	}
}

var errOwn = errors.New("the test's own error")

var square = tristrand.Define("test.square", func(_ context.Context, n int) (int, error) { return n * n, nil })
