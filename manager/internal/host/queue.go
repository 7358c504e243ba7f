package host

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/internal/pickle"
	"github.com/tristrand/tristrand/local"
)

// QueueMethods are the methods of every queue that clients may call. state is for
// Go clients.
var QueueMethods = []string{
	"empty", "full", "get", "get_nowait", "join", "put", "put_nowait", "qsize", "shutdown", "state", "task_done",
}

// Queue is a shared queue.
type Queue struct {
	q    *local.Queue[any]
	kind string

	// spare has items that were taken for a client which was gone by then, and
	// for which the queue has no room any more.
	mu    sync.Mutex
	spare []any
}

// Undo puts back what a call took whose client is gone before it was told. An
// item goes to the end of the queue.
func (o *Queue) Undo(method string, v any) {
	if method != "get" && method != "get_nowait" {
		return
	}
	ctx := context.Background()
	if o.q.TryPut(ctx, v) == nil {
		_ = o.q.TaskDone(ctx) // it had been counted before
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.spare = append(o.spare, v)
}

// fromSpare takes an item that was put back.
func (o *Queue) fromSpare() (any, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.spare) == 0 {
		return nil, false
	}
	v := o.spare[0]
	o.spare = o.spare[1:]
	return v, true
}

func (o *Queue) spares() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.spare)
}

// NewQueue returns how queues of a kind are made: "Queue", "LifoQueue" or
// "PriorityQueue".
func NewQueue(kind string) func(c *Call) (Object, error) {
	return func(c *Call) (Object, error) {
		args, err := c.bind(kind, 0, "maxsize")
		if err != nil {
			return nil, err
		}
		n := int64(0)
		if given(args[0]) {
			if n, err = integer(args[0]); err != nil {
				return nil, err
			}
		}
		bound := int(max(0, min(n, math.MaxInt32)))
		o := &Queue{kind: kind}
		switch kind {
		case "LifoQueue":
			o.q = local.NewLIFO[any](bound)
		case "PriorityQueue":
			o.q = local.NewPriority(bound, less)
		default:
			o.q = local.NewQueue[any](bound)
		}
		return o, nil
	}
}

// less orders the items of a priority queue; it panics with an error when they
// have no order.
func less(a, b any) bool {
	ok, err := pickle.Less(a, b)
	if err != nil {
		panic(unordered{err})
	}
	return ok
}

type unordered struct{ error }

func recoverOrder(err *error) {
	if v := recover(); v != nil {
		u, ok := v.(unordered)
		if !ok {
			panic(v)
		}
		*err = u.error
	}
}

// Call calls a method.
func (o *Queue) Call(c *Call, method string) (v any, err error) {
	defer recoverOrder(&err)
	ctx := context.Background()
	switch method {
	case "put", "put_nowait":
		return nil, o.put(c, method)
	case "get", "get_nowait":
		return o.get(c, method)
	case "qsize", "empty", "full", "state":
		return o.look(c, method)
	case "task_done":
		if err := c.none(method); err != nil {
			return nil, err
		}
		if err := o.q.TaskDone(ctx); err != nil {
			return nil, exception("ValueError", "task_done() called too many times").as(err)
		}
		return nil, nil
	case "join":
		if err := c.none(method); err != nil {
			return nil, err
		}
		if st, _ := o.q.State(ctx); st.Unfinished == 0 {
			return nil, nil
		}
		if ctx, _, err = c.Wait(); err != nil {
			return nil, err
		}
		return nil, o.q.Join(ctx)
	case "shutdown":
		args, err := c.bind(method, 0, "immediate")
		if err != nil {
			return nil, err
		}
		how := tristrand.Drain
		if given(args[0]) && truth(args[0]) {
			how = tristrand.Discard
		}
		return nil, o.q.Shutdown(ctx, how)
	default:
		return nil, ErrNoMethod
	}
}

func (o *Queue) look(c *Call, method string) (any, error) {
	if err := c.none(method); err != nil {
		return nil, err
	}
	st, err := o.q.State(context.Background())
	if err != nil {
		return nil, err
	}
	st.Len += o.spares()
	switch method {
	case "qsize":
		return int64(st.Len), nil
	case "empty":
		return st.Len == 0, nil
	case "full":
		return st.Cap > 0 && st.Len >= st.Cap, nil
	default:
		return pickle.Tuple{
			int64(st.Len), int64(st.Cap), int64(st.Unfinished), int64(st.Getting), int64(st.Putting), st.Shutdown,
		}, nil
	}
}

// limits reads block and timeout as queue.Queue has them.
func limits(block, limit any) (patience, error) {
	if given(block) && !truth(block) {
		return patience{}, nil
	}
	p, err := timeout(limit)
	if err == nil && !p.forever && p.d < 0 {
		err = valueError("'timeout' must be a non-negative number")
	}
	return p, err
}

func (o *Queue) put(c *Call, method string) error {
	names := []string{"item", "block", "timeout"}
	if method == "put_nowait" {
		names = names[:1]
	}
	args, err := c.bind(method, 1, names...)
	if err != nil {
		return err
	}
	var p patience
	if method == "put" {
		if p, err = limits(args[1], args[2]); err != nil {
			return err
		}
	}
	st, _ := o.q.State(context.Background()) // a local one has no error
	c.Woke = st.Getting > 0
	err = o.q.TryPut(context.Background(), args[0])
	if errors.Is(err, tristrand.ErrFull) && p.block {
		err = o.waiting(c, p, func(ctx context.Context) error { return o.q.Put(ctx, args[0]) })
		if errors.Is(err, context.DeadlineExceeded) && !p.forever {
			err = tristrand.ErrFull
		}
	}
	return queueError(err)
}

func (o *Queue) get(c *Call, method string) (v any, err error) {
	names := []string{"block", "timeout"}
	if method == "get_nowait" {
		names = nil
	}
	args, err := c.bind(method, 0, names...)
	if err != nil {
		return nil, err
	}
	var p patience
	if method == "get" {
		if p, err = limits(args[0], args[1]); err != nil {
			return nil, err
		}
	}
	if v, ok := o.fromSpare(); ok {
		return v, nil
	}
	v, err = o.q.TryGet(context.Background())
	if errors.Is(err, tristrand.ErrEmpty) && p.block {
		err = o.waiting(c, p, func(ctx context.Context) error {
			var err error
			v, err = o.q.Get(ctx)
			return err
		})
		if errors.Is(err, context.DeadlineExceeded) && !p.forever {
			err = tristrand.ErrEmpty
		}
	}
	return v, queueError(err)
}

func (o *Queue) waiting(c *Call, p patience, f func(ctx context.Context) error) error {
	ctx, _, err := c.Wait()
	if err != nil {
		return err
	}
	if !p.forever {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, p.d)
		defer cancel()
	}
	return f(ctx)
}

// queueError returns err as Python's clients know it.
func queueError(err error) error {
	class := pickle.Global{Module: "queue"}
	switch {
	case errors.Is(err, tristrand.ErrEmpty):
		class = pickle.Global{Module: "_queue", Name: "Empty"}
	case errors.Is(err, tristrand.ErrFull):
		class.Name = "Full"
	case errors.Is(err, tristrand.ErrShutdown):
		class.Name = "ShutDown"
	default:
		return err
	}
	return (&PythonError{Type: class}).as(err)
}

// Repr prints it.
func (o *Queue) Repr(int) string {
	st, _ := o.q.State(context.Background()) // a local one has no error
	return fmt.Sprintf("<queue.%s object, %d items, %d getting, %d putting>", o.kind, st.Len, st.Getting, st.Putting)
}

// Value says that a queue cannot be sent.
func (o *Queue) Value() (any, error) { return nil, &pickle.WriteError{What: "'_thread.lock' object"} }
