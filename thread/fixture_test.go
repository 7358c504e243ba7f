package thread_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/strand"
)

// inBubble runs fn as a strand in a synctest bubble, where time is fake.
func inBubble(t *testing.T, fn func(ctx context.Context, t *testing.T)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ctx, leave := strand.Adopt(t.Context(), "test")
		defer leave()
		fn(ctx, t)
	})
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

// panics returns what fn panics with.
func panics(fn func()) (v any) {
	defer func() { v = recover() }()
	fn()
	return nil
}

var errOwn = errors.New("the test's own error")

func isDeadlock(err error) bool {
	var dead *tristrand.DeadlockError
	return errors.As(err, &dead)
}
