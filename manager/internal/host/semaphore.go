package host

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/internal/pickle"
	"github.com/tristrand/tristrand/local"
)

// SemaphoreMethods are the methods of both semaphores that clients may call.
var SemaphoreMethods = []string{"acquire", "release", "locked", "state"}

// Semaphore is a shared Semaphore or BoundedSemaphore.
//
// What an owner that is gone had acquired and not released is given back, up to
// the first count: so a pool of permits stays whole, and a semaphore that began
// at 0, which is a signal, signals nothing by it.
type Semaphore struct {
	l       *Locks // guards owners' permits
	s       tristrand.Semaphore
	first   int
	bounded bool
}

// NewSemaphore returns how semaphores are made.
func NewSemaphore(l *Locks, bounded bool) func(c *Call) (Object, error) {
	return func(c *Call) (Object, error) {
		args, err := c.bind("Semaphore", 0, "value")
		if err != nil {
			return nil, err
		}
		n := int64(1)
		if given(args[0]) {
			if n, err = integer(args[0]); err != nil {
				return nil, err
			}
		}
		if n < 0 || n > math.MaxInt32 {
			return nil, valueError("semaphore initial value must be >= 0")
		}
		o := &Semaphore{l: l, first: int(n), bounded: bounded}
		switch {
		case !bounded:
			o.s = local.NewSemaphore(int(n))
		case n == 0:
			return nil, valueError("a bounded semaphore must begin with at least 1")
		default:
			o.s = local.NewBoundedSemaphore(int(n))
		}
		return o, nil
	}
}

// Call calls a method.
func (o *Semaphore) Call(c *Call, method string) (any, error) {
	switch method {
	case "acquire":
		args, err := c.bind(method, 0, "blocking", "timeout")
		if err != nil {
			return nil, err
		}
		block := !given(args[0]) || truth(args[0])
		if given(args[1]) && args[1] != nil && !block {
			return nil, valueError("can't specify timeout for non-blocking acquire")
		}
		p, err := timeout(args[1])
		if err != nil {
			return nil, err
		}
		p.block = p.block && block
		return o.acquire(c, p)
	case "release":
		args, err := c.bind(method, 0, "n")
		if err != nil {
			return nil, err
		}
		n := int64(1)
		if given(args[0]) {
			if n, err = integer(args[0]); err != nil {
				return nil, err
			}
		}
		return nil, o.release(c, n)
	case "locked":
		st, err := o.s.State(context.Background())
		return st.Free == 0, errors.Join(err, c.none(method))
	case "state":
		st, err := o.s.State(context.Background())
		return pickle.Tuple{int64(st.Free), int64(st.Bound), int64(st.Waiting)}, errors.Join(err, c.none(method))
	default:
		return nil, ErrNoMethod
	}
}

func (o *Semaphore) acquire(c *Call, p patience) (bool, error) {
	err := o.s.TryAcquire(context.Background())
	if err != nil && p.block {
		var ctx context.Context
		if ctx, _, err = c.Wait(); err != nil {
			return false, err
		}
		if !p.forever {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, p.d)
			defer cancel()
		}
		if err = o.s.Acquire(ctx); err != nil && (p.forever || !errors.Is(err, context.DeadlineExceeded)) {
			return false, err
		}
	}
	if err != nil {
		return false, nil
	}
	o.l.mu.Lock()
	defer o.l.mu.Unlock()
	if c.Owner.permits == nil {
		c.Owner.permits = map[*Semaphore]int{}
	}
	c.Owner.permits[o]++
	return true, nil
}

func (o *Semaphore) release(c *Call, n int64) error {
	if st, err := o.s.State(context.Background()); err == nil {
		c.Woke = st.Waiting > 0
	}
	if n < 1 {
		return valueError("n must be one or more")
	}
	if err := o.s.Release(context.Background(), int(min(n, math.MaxInt32))); err != nil {
		return exception("ValueError", "Semaphore released too many times").as(err)
	}
	o.l.mu.Lock()
	defer o.l.mu.Unlock()
	if left := c.Owner.permits[o] - int(min(n, math.MaxInt32)); left > 0 {
		c.Owner.permits[o] = left
	} else {
		delete(c.Owner.permits, o)
	}
	return nil
}

// giveBack releases n permits of an owner that is gone, as far as that does not
// make more of them than there were.
func (o *Semaphore) giveBack(n int) {
	for range n {
		st, err := o.s.State(context.Background())
		if err != nil || st.Free >= o.first {
			return
		}
		if err := o.s.Release(context.Background(), 1); err != nil {
			return
		}
	}
}

// Repr prints it.
func (o *Semaphore) Repr(int) string {
	st, _ := o.s.State(context.Background()) // a local one has no error
	name := "Semaphore"
	if o.bounded {
		name = "BoundedSemaphore"
	}
	return fmt.Sprintf("<threading.%s: value:%d, %d waiting>", name, st.Free, st.Waiting)
}

// Value says that a semaphore cannot be sent.
func (o *Semaphore) Value() (any, error) {
	return nil, &pickle.WriteError{What: "'_thread.lock' object"}
}
