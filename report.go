package tristrand

import (
	"context"
	"log/slog"
	"runtime/debug"
	"sync/atomic"
)

var reporter atomic.Pointer[func(ctx context.Context, err error)]

// OnReport makes fn the one that is told of errors that nobody waits for: a
// daemon thread's, a callback's panic. nil restores the default, which logs
// them by slog at level Error. fn may be called from any goroutine and must not
// block.
func OnReport(fn func(ctx context.Context, err error)) {
	if fn == nil {
		reporter.Store(nil)
		return
	}
	reporter.Store(&fn)
}

// Report tells the function set by OnReport of an error that nobody waits for.
// Engines call it. A panic of that function is logged.
func Report(ctx context.Context, err error) {
	fn := reporter.Load()
	if fn == nil {
		slog.ErrorContext(ctx, "tristrand: an error that nobody waits for", "err", err)
		return
	}
	defer func() {
		if v := recover(); v != nil {
			slog.ErrorContext(ctx, "tristrand: the function set by OnReport panicked",
				"panic", v, "stack", string(debug.Stack()), "err", err)
		}
	}()
	(*fn)(ctx, err)
}
