package host

import (
	"context"
	"errors"
	"fmt"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/internal/pickle"
	"github.com/tristrand/tristrand/local"
)

// The methods of an event and of a barrier that clients may call. state is for
// Go clients.
var (
	EventMethods   = []string{"is_set", "set", "clear", "wait", "state"}
	BarrierMethods = []string{"__getattribute__", "wait", "abort", "reset", "state"}
)

// Event is a shared Event.
type Event struct{ e local.Event }

// NewEvent makes one.
func NewEvent(c *Call) (Object, error) { return new(Event), c.none("Event") }

// Call calls a method.
func (o *Event) Call(c *Call, method string) (any, error) {
	ctx := context.Background()
	switch method {
	case "set":
		c.Woke = true
		if err := c.none(method); err != nil {
			return nil, err
		}
		return nil, o.e.Set(ctx)
	case "clear":
		if err := c.none(method); err != nil {
			return nil, err
		}
		return nil, o.e.Clear(ctx)
	case "is_set":
		st, err := o.e.State(ctx)
		return st.Set, errors.Join(err, c.none(method))
	case "state":
		st, err := o.e.State(ctx)
		return pickle.Tuple{st.Set, int64(st.Waiting)}, errors.Join(err, c.none(method))
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
	default:
		return nil, ErrNoMethod
	}
}

func (o *Event) wait(c *Call, p patience) (bool, error) {
	st, err := o.e.State(context.Background())
	if st.Set || err != nil || !p.block {
		return st.Set, err
	}
	ctx, _, err := c.Wait()
	if err != nil {
		return false, err
	}
	if !p.forever {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, p.d)
		defer cancel()
	}
	err = o.e.Wait(ctx)
	if errors.Is(err, context.DeadlineExceeded) && !p.forever {
		return false, nil
	}
	return err == nil, err
}

// Repr prints it.
func (o *Event) Repr(int) string {
	st, _ := o.e.State(context.Background()) // a local one has no error
	if st.Set {
		return fmt.Sprintf("<threading.Event: set, %d waiting>", st.Waiting)
	}
	return fmt.Sprintf("<threading.Event: unset, %d waiting>", st.Waiting)
}

// Value says that an event cannot be sent.
func (o *Event) Value() (any, error) { return nil, &pickle.WriteError{What: "'_thread.lock' object"} }

// Barrier is a shared Barrier.
type Barrier struct {
	b       *local.Barrier
	parties int
	usual   any // the time-out of a wait that has none
}

const maxParties = 1 << 20

// NewBarrier makes one. It has no action: nothing from the wire is run.
func NewBarrier(c *Call) (Object, error) {
	args, err := c.bind("Barrier", 1, "parties", "action", "timeout")
	if err != nil {
		return nil, err
	}
	n, err := integer(args[0])
	switch {
	case err != nil:
		return nil, err
	case n < 1:
		return nil, valueError("parties must be >= 1")
	case n > maxParties:
		return nil, valueError("parties must be <= %d", maxParties)
	case given(args[1]) && args[1] != nil:
		return nil, typeError("a barrier of this server has no action: nothing that a client sends is run")
	}
	if _, err := timeout(args[2]); err != nil {
		return nil, err
	}
	return &Barrier{b: local.NewBarrier(int(n)), parties: int(n), usual: args[2]}, nil
}

// Call calls a method.
func (o *Barrier) Call(c *Call, method string) (any, error) {
	ctx := context.Background()
	switch method {
	case "wait":
		args, err := c.bind(method, 0, "timeout")
		if err != nil {
			return nil, err
		}
		if !given(args[0]) || args[0] == nil {
			return o.wait(c, o.usual)
		}
		return o.wait(c, args[0])
	case "abort":
		if err := c.none(method); err != nil {
			return nil, err
		}
		return nil, o.b.Abort(ctx)
	case "reset":
		if err := c.none(method); err != nil {
			return nil, err
		}
		return nil, o.b.Reset(ctx)
	case "state":
		st, err := o.b.State(ctx)
		return pickle.Tuple{int64(st.Parties), int64(st.Waiting), st.Broken}, errors.Join(err, c.none(method))
	case "__getattribute__":
		name, err := c.one(method, "name")
		if err != nil {
			return nil, err
		}
		st, err := o.b.State(ctx)
		switch name {
		case "parties":
			return int64(o.parties), err
		case "n_waiting":
			return int64(st.Waiting), err
		case "broken":
			return st.Broken, err
		}
		return nil, exception("AttributeError", "'Barrier' object has no attribute %s", pickle.Repr(name, 100))
	default:
		return nil, ErrNoMethod
	}
}

func (o *Barrier) wait(c *Call, limit any) (any, error) {
	p, err := timeout(limit)
	if err != nil {
		return nil, err
	}
	ctx, _, err := c.Wait()
	if err != nil {
		return nil, err
	}
	if !p.forever {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, max(p.d, 0))
		defer cancel()
	}
	turn, err := o.b.Wait(ctx)
	switch {
	case err == nil:
		return int64(turn), nil
	case errors.Is(err, tristrand.ErrBroken), errors.Is(err, context.DeadlineExceeded) && !p.forever:
		return nil, (&PythonError{Type: pickle.Global{Module: "threading", Name: "BrokenBarrierError"}}).as(err)
	default:
		return nil, err
	}
}

// Repr prints it.
func (o *Barrier) Repr(int) string {
	st, _ := o.b.State(context.Background()) // a local one has no error
	if st.Broken {
		return "<threading.Barrier: broken>"
	}
	return fmt.Sprintf("<threading.Barrier: waiters=%d/%d>", st.Waiting, st.Parties)
}

// Value says that a barrier cannot be sent.
func (o *Barrier) Value() (any, error) {
	return nil, &pickle.WriteError{What: "'_thread.RLock' object"}
}
