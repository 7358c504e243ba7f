package thread

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/strand"
)

// A Timer is a thread that calls its function after a while, unless it is
// cancelled before.
type Timer struct {
	*Thread
	ctx   strand.Context // of the thread
	state atomic.Uint32  // waiting, fired or cancelled
}

const (
	timerFired = iota + 1
	timerCancelled
)

// AfterFunc starts a thread that waits for d and then calls fn. The end of ctx
// before that is its error. Main waits for a timer as for any thread.
func AfterFunc(ctx context.Context, d time.Duration, fn func(ctx context.Context) error, opts ...Option) *Timer {
	if fn == nil {
		panic("thread: AfterFunc: the function is nil")
	}
	t := &Timer{}
	t.ctx.Init(ctx)
	t.ctx.Bind(strand.Named(ctx), time.Time{})
	t.Thread = Start(&t.ctx, "", func(ctx context.Context) error {
		defer t.ctx.End(context.Canceled)
		err := strand.Sleep(ctx, d)
		if t.state.Load() == timerCancelled {
			return nil
		}
		if err != nil {
			return err
		}
		if !t.state.CompareAndSwap(0, timerFired) {
			return nil
		}
		return fn(ctx)
	}, opts...)
	return t
}

// Cancel keeps the function from being called; the timer's Join returns nil
// then. It returns false if the function has been called or Cancel has.
func (t *Timer) Cancel() bool {
	if !t.state.CompareAndSwap(0, timerCancelled) {
		return false
	}
	t.ctx.End(tristrand.ErrCancelled)
	return true
}
