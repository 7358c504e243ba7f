package tristrand

import (
	"context"
	"errors"

	"github.com/tristrand/tristrand/internal/gtoken"
	"github.com/tristrand/tristrand/strand"
)

// With calls fn with the lock held and releases it afterwards, also when fn
// panics or ends its goroutine. It returns the error of Acquire, or that of fn
// joined with that of Release. The ctx that fn gets is the caller's or, of a
// lock that can be lost, a child that ends with cause ErrLost.
//
//go:noinline
func With(ctx context.Context, l Locker, fn func(ctx context.Context) error) (err error) {
	s := strand.Current(ctx)
	s.SetPlace(gtoken.Caller())
	if err := l.Acquire(ctx); err != nil {
		s.SetPlace(0) // it may not have been used
		return err
	}
	inner, done := ctx, func() {}
	if ll, ok := l.(LeasedLocker); ok {
		inner, done = ll.WhileHeld(ctx)
	}
	defer func() {
		done()
		if rerr := l.Release(ctx); rerr != nil {
			err = errors.Join(err, rerr)
		}
	}()
	return fn(inner)
}

// A LeasedLocker is a lock that its holder can lose without releasing it.
type LeasedLocker interface {
	Locker
	// WhileHeld returns a child of ctx that ends with cause ErrLost when the
	// caller no longer holds the lock.
	WhileHeld(ctx context.Context) (context.Context, context.CancelFunc)
}

// WaitFor waits on c until pred, which is called with the lock held, is true.
// The caller holds the lock before and after; see Condition.Wait for errors.
func WaitFor(ctx context.Context, c Condition, pred func() bool) error {
	for !pred() {
		if err := c.Wait(ctx); err != nil {
			return err
		}
	}
	return nil
}
