package manager

import (
	"context"
	"iter"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/internal/pickle"
	"github.com/tristrand/tristrand/manager/internal/host"
)

// A Value is a Value on a server.
type Value[T any] struct{ base }

var _ tristrand.Value[int] = (*Value[int])(nil)

// NewValue makes a value.
func NewValue[T any](ctx context.Context, c *Client, v T) (*Value[T], error) {
	return wrap(ValueOf[T])(c.Create(ctx, "Value", "O", v))
}

// ValueOf makes a Value of a proxy for one.
func ValueOf[T any](p *Proxy) *Value[T] { return &Value[T]{base{p}} }

// Load returns the value.
func (v *Value[T]) Load(ctx context.Context) (T, error) { return get[T](ctx, v.p, "get") }

// Store sets the value.
func (v *Value[T]) Store(ctx context.Context, x T) error {
	_, err := v.p.raw(ctx, "set", x)
	return err
}

// Update replaces the value by f of it and returns the new one. f may run more
// than once, as others may change the value meanwhile. CPython's servers have no
// such thing: take a Lock there.
func (v *Value[T]) Update(ctx context.Context, f func(T) (T, error)) (T, error) {
	var none T
	if !v.p.c.linked() {
		return none, errNoLink("Update of a value")
	}
	for {
		now, err := v.p.raw(ctx, "load")
		if err != nil {
			return none, err
		}
		var wire any
		var version int64
		if err := fields(now, &wire, &version); err != nil {
			return none, err
		}
		old, err := pickle.Get[T](wire)
		if err != nil {
			return none, err
		}
		x, err := f(old)
		if err != nil {
			return none, err
		}
		ok, err := get[bool](ctx, v.p, "swap", version, x)
		if ok || err != nil {
			return x, err
		}
	}
}

// An Array is an array of numbers of one type on a server.
type Array[T int8 | uint8 | int16 | uint16 | int32 | uint32 | int64 | uint64 | float32 | float64] struct{ base }

// NewArray makes an array of items, whose number stays.
func NewArray[T int8 | uint8 | int16 | uint16 | int32 | uint32 | int64 | uint64 | float32 | float64](
	ctx context.Context, c *Client, items ...T) (*Array[T], error) {
	var code string
	switch any(items).(type) {
	case []int8:
		code = "b"
	case []uint8:
		code = "B"
	case []int16:
		code = "h"
	case []uint16:
		code = "H"
	case []int32:
		code = "i"
	case []uint32:
		code = "I"
	case []int64:
		code = "q"
	case []uint64:
		code = "Q"
	case []float32:
		code = "f"
	default:
		code = "d"
	}
	list := make([]any, len(items))
	for i, x := range items {
		list[i] = x
	}
	return wrap(ArrayOf[T])(c.Create(ctx, "Array", code, list))
}

// ArrayOf makes an Array of a proxy for one.
func ArrayOf[T int8 | uint8 | int16 | uint16 | int32 | uint32 | int64 | uint64 | float32 | float64](p *Proxy) *Array[T] {
	return &Array[T]{base{p}}
}

// Len returns the number of items.
func (a *Array[T]) Len(ctx context.Context) (int, error) { return get[int](ctx, a.p, "__len__") }

// Get returns the i-th item; below 0 counts from the end.
func (a *Array[T]) Get(ctx context.Context, i int) (T, error) {
	return get[T](ctx, a.p, "__getitem__", i)
}

// Set sets the i-th item.
func (a *Array[T]) Set(ctx context.Context, i int, v T) error {
	_, err := a.p.raw(ctx, "__setitem__", i, v)
	return err
}

// Items returns all items of one moment.
func (a *Array[T]) Items(ctx context.Context) ([]T, error) {
	v, err := a.p.raw(ctx, "__getitem__", new(pickle.Slice))
	if err != nil {
		return nil, err
	}
	data, ok := v.(*host.ArrayData)
	if !ok {
		return pickle.Get[[]T](v)
	}
	items, err := data.Iterate()
	if err != nil {
		return nil, err
	}
	return pickle.Get[[]T](pickle.NewList(items...))
}

// A Queue is a queue on a server: first in first out, last in first out or, of
// items that Python can compare, the least first.
type Queue[T any] struct{ base }

var _ tristrand.JoinableQueue[int] = (*Queue[int])(nil)

// NewQueue makes a queue that gives the first in first. It holds up to bound
// items; 0 is no bound.
func NewQueue[T any](ctx context.Context, c *Client, bound int) (*Queue[T], error) {
	return wrap(QueueOf[T])(c.Create(ctx, "JoinableQueue", bound))
}

// NewLIFO makes a queue that gives the last in first. CPython's servers have
// none.
func NewLIFO[T any](ctx context.Context, c *Client, bound int) (*Queue[T], error) {
	return wrap(QueueOf[T])(c.Create(ctx, "LifoQueue", bound))
}

// NewPriority makes a queue that gives the least first, as Python compares
// them. CPython's servers have none.
func NewPriority[T any](ctx context.Context, c *Client, bound int) (*Queue[T], error) {
	return wrap(QueueOf[T])(c.Create(ctx, "PriorityQueue", bound))
}

// QueueOf makes a Queue of a proxy for one.
func QueueOf[T any](p *Proxy) *Queue[T] { return &Queue[T]{base{p}} }

// Put waits for room and puts v in. It returns ErrShutdown after Shutdown.
func (q *Queue[T]) Put(ctx context.Context, v T) error {
	if q.p.c.linked() {
		_, err := q.p.raw(ctx, "put", v)
		return err
	}
	return q.p.polled(ctx, func(seconds float64) (bool, error) {
		_, err := q.p.raw(ctx, "put", v, true, seconds)
		return err == nil, unless(err, tristrand.ErrFull)
	})
}

// TryPut is Put that returns ErrFull instead of waiting.
func (q *Queue[T]) TryPut(ctx context.Context, v T) error {
	ctx, cancel := q.bounded(ctx)
	defer cancel()
	_, err := q.p.raw(ctx, "put", v, false)
	return err
}

// Get waits for an item and takes it. It returns ErrShutdown once the queue is
// shut down and empty. An item that does not fit T is taken, and in the error.
func (q *Queue[T]) Get(ctx context.Context) (v T, err error) {
	if q.p.c.linked() {
		return get[T](ctx, q.p, "get")
	}
	err = q.p.polled(ctx, func(seconds float64) (bool, error) {
		var err error
		v, err = get[T](ctx, q.p, "get", true, seconds)
		return err == nil, unless(err, tristrand.ErrEmpty)
	})
	return v, err
}

// TryGet is Get that returns ErrEmpty instead of waiting.
func (q *Queue[T]) TryGet(ctx context.Context) (T, error) {
	ctx, cancel := q.bounded(ctx)
	defer cancel()
	return get[T](ctx, q.p, "get", false)
}

// Shutdown refuses further Puts and wakes all who wait. CPython has it from 3.13
// on.
func (q *Queue[T]) Shutdown(ctx context.Context, how tristrand.Shutdown) error {
	ctx, cancel := q.bounded(ctx)
	defer cancel()
	_, err := q.p.raw(ctx, "shutdown", how == tristrand.Discard)
	return err
}

// TaskDone says that the work on one item is done. It returns ErrOverRelease if
// it has been called as often as items were put.
func (q *Queue[T]) TaskDone(ctx context.Context) error { return q.void(ctx, "task_done") }

// Join waits until the work on every item that was put is done.
func (q *Queue[T]) Join(ctx context.Context) error {
	_, err := q.p.do(ctx, call{method: "join", on: q.p, harmless: true})
	return err
}

// State returns what the queue looks like. CPython's says only how long it is.
func (q *Queue[T]) State(ctx context.Context) (st tristrand.QueueState, err error) {
	if !q.p.c.linked() {
		st.Len, err = get[int](ctx, q.p, "qsize")
		return st, err
	}
	err = q.state(ctx, "state", &st.Len, &st.Cap, &st.Unfinished, &st.Getting, &st.Putting, &st.Shutdown)
	return st, err
}

// All yields items as Get gives them, until the queue is shut down and empty;
// another error is yielded last.
func (q *Queue[T]) All(ctx context.Context) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for {
			v, err := q.Get(ctx)
			if err != nil && unless(err, tristrand.ErrShutdown) == nil {
				return
			}
			if !yield(v, err) || err != nil {
				return
			}
		}
	}
}
