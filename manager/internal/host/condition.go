package host

import (
	"context"
	"errors"
	"fmt"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/internal/pickle"
	"github.com/tristrand/tristrand/strand"
)

// ConditionMethods are the methods of a condition that clients may call.
// recover and state are the lock's, waiting the condition's.
var ConditionMethods = []string{
	"acquire", "release", "wait", "notify", "notify_all", "locked", "recover", "state", "waiting",
}

// Condition is a shared condition on a Mutex.
type Condition struct {
	m     *Mutex
	own   bool
	queue []*condWaiter // guarded by the mutex of the Locks
}

type condWaiter struct{ w strand.Wait }

// NewCondition returns how conditions are made: of a lock's proxy, or on an
// RLock of their own.
func NewCondition(l *Locks) func(c *Call) (Object, error) {
	return func(c *Call) (Object, error) {
		args, err := c.bind("Condition", 0, "lock")
		if err != nil {
			return nil, err
		}
		if !given(args[0]) || args[0] == nil {
			return &Condition{m: &Mutex{locks: l, reentrant: true}, own: true}, nil
		}
		p, ok := args[0].(*Proxy)
		if !ok || p.Entry == nil {
			return nil, typeError("a condition's lock must be a Lock or an RLock of this server")
		}
		m, ok := p.Entry.Object.(*Mutex)
		if !ok {
			return nil, typeError("a condition's lock must be a Lock or an RLock, not %s", p.Entry.Type.ID)
		}
		return &Condition{m: m}, nil
	}
}

// SetName is told the object's ident.
func (o *Condition) SetName(ident string) {
	if o.own {
		o.m.SetName("of condition " + ident)
	}
}

func (o *Condition) String() string { return fmt.Sprintf("condition on %v", o.m) }

// Releasers says that anyone could notify.
func (o *Condition) Releasers(buf []strand.Releaser) ([]strand.Releaser, bool) { return buf, false }

// Call calls a method.
func (o *Condition) Call(c *Call, method string) (any, error) {
	switch method {
	case "wait":
		args, err := c.bind(method, 0, "timeout")
		if err != nil {
			return nil, err
		}
		p, err := timeout(args[0])
		if err != nil {
			return nil, err
		}
		return o.wait(c, p)
	case "notify":
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
		return nil, o.notify(c, n)
	case "notify_all":
		if err := c.none(method); err != nil {
			return nil, err
		}
		return nil, o.notify(c, -1)
	case "waiting":
		o.m.locks.mu.Lock()
		defer o.m.locks.mu.Unlock()
		return int64(len(o.queue)), c.none(method)
	default:
		return o.m.Call(c, method)
	}
}

func (o *Condition) mine(c *Call, verb string) error {
	if o.m.owner == c.Owner {
		return nil
	}
	return runtimeError("cannot %s on un-acquired lock", verb).as(fmt.Errorf("%v: %w", o.m, tristrand.ErrNotHeld))
}

// wait releases the lock, waits to be notified, and acquires it again, whatever
// has become of the wait, unless the caller is gone.
func (o *Condition) wait(c *Call, p patience) (bool, error) {
	l := o.m.locks
	l.mu.Lock()
	err := o.mine(c, "wait")
	l.mu.Unlock()
	if err != nil {
		return false, err
	}
	ctx, gone, err := c.Wait()
	if err != nil {
		return false, err
	}
	waitCtx := ctx
	if !p.forever {
		var cancel context.CancelFunc
		waitCtx, cancel = context.WithTimeout(ctx, p.d)
		defer cancel()
	}
	s := strand.Enter(ctx, strand.Op{Verb: "wait", On: o, Write: true})
	n := &condWaiter{w: s.NewWait()}
	l.mu.Lock()
	o.queue = append(o.queue, n)
	depth := o.m.depth
	o.m.free()
	err = n.w.Park(waitCtx, o)
	if err != nil {
		l.mu.Lock()
		o.leave(n)
		l.mu.Unlock()
	}
	if gone.Err() != nil {
		return false, gone.Err()
	}
	if again := o.m.wait(named(gone, ctx), c, !c.Owner.Go, false, depth); again != nil {
		return false, runtimeError("%v could not be acquired again: %v", o.m, again).
			as(errors.Join(tristrand.ErrNotHeld, again, err))
	}
	if err != nil && ctx.Err() == nil && !p.forever {
		return false, nil // its own time-out
	}
	return err == nil, err
}

// named returns gone with the strand that ctx names.
func named(gone, ctx context.Context) context.Context { return namedContext{gone, ctx} }

// a namedContext ends with one context and has the values of another.
type namedContext struct {
	context.Context                 //nolint:containedctx // it is a context
	values          context.Context //nolint:containedctx // as above
}

// Value returns the value of the other.
func (c namedContext) Value(key any) any { return c.values.Value(key) }

func (o *Condition) leave(n *condWaiter) {
	for i, x := range o.queue {
		if x == n {
			o.queue = append(o.queue[:i:i], o.queue[i+1:]...)
			return
		}
	}
}

// notify wakes n who wait, all with n below 0.
func (o *Condition) notify(c *Call, n int64) error {
	l := o.m.locks
	l.mu.Lock()
	if err := o.mine(c, "notify"); err != nil {
		l.mu.Unlock()
		return err
	}
	for n != 0 && len(o.queue) > 0 {
		w := o.queue[0]
		o.queue = o.queue[1:]
		l.mu.Unlock()
		if w.w.Grant() {
			n--
		}
		l.mu.Lock()
	}
	l.mu.Unlock()
	return nil
}

// Repr prints it.
func (o *Condition) Repr(most int) string {
	l := o.m.locks
	l.mu.Lock()
	n := len(o.queue)
	l.mu.Unlock()
	return fmt.Sprintf("<Condition(%s, %d)>", o.m.Repr(most), n)
}

// Value says that a condition cannot be sent.
func (o *Condition) Value() (any, error) {
	return nil, &pickle.WriteError{What: "'_thread.RLock' object"}
}
