package host

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"sync"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/internal/pickle"
	"github.com/tristrand/tristrand/local"
)

// A Work is one call of a function on a pool, as it is sent to a worker: in this
// process or in another one.
type Work struct {
	Name string
	Task bool   // the name is a task's, not that of one of Python's functions
	Data []byte // the pickle of (args, kwds)
}

// A Yield is what comes back: the pickle of a value, or of an exception.
type Yield struct {
	Failed bool
	Data   []byte
}

// work is the task that pools run. A worker in another process finds it by its
// name.
var work = tristrand.Define("tristrand.manager.call", func(ctx context.Context, w Work) (Yield, error) {
	f, err := functions[w.Name], error(nil)
	if w.Task {
		f, err = TaskFunction(w.Name)
	} else if f == nil {
		err = fmt.Errorf("there is no function %q in this process", w.Name)
	}
	if err != nil {
		return Yield{}, tristrand.Permanent(err)
	}
	return Run(ctx, f, w.Data), nil
})

// TaskFunction makes a function of a task that this program has defined. It takes
// one argument.
func TaskFunction(name string) (Function, error) {
	h, ok := tristrand.Lookup(name)
	if !ok {
		return nil, fmt.Errorf("there is no task %q: name one that tristrand.Define made", name)
	}
	return func(ctx context.Context, args pickle.Tuple, kwds *pickle.Dict) (any, error) {
		in := h.NewInput()
		if len(args) != 1 || kwds != nil && kwds.Len() > 0 {
			return nil, typeError("task %s takes exactly one argument (%d given)", name, len(args))
		}
		if err := pickle.Into(reflect.ValueOf(in).Elem(), args[0]); err != nil {
			return nil, typeError("%v", err)
		}
		out, err := h.Call(ctx, in)
		if err != nil {
			return nil, err
		}
		return pickle.FromGo(out)
	}, nil
}

// data reads what has been written by ourselves: names of functions only.
var data = pickle.Options{
	MaxDepth: 2 * maxValueDepth,
	Find:     (&Classes{Other: pickle.Symbolic}).Find,
}

const maxValueDepth = 1000

// Run calls f with pickled arguments.
func Run(ctx context.Context, f Function, args []byte) (y Yield) {
	v, err := pickle.Unmarshal(args, data)
	if err == nil {
		call := v.(pickle.Tuple)
		kwds, _ := call[1].(*pickle.Dict)
		v, err = f(ctx, call[0].(pickle.Tuple), kwds)
	}
	if err == nil {
		if y.Data, err = pickle.Marshal(nil, v); err == nil {
			return y
		}
	}
	e, ok := AsException(err)
	if !ok {
		e = Builtin("RuntimeError", err.Error())
	}
	y.Failed = true
	if y.Data, err = pickle.Marshal(nil, e); err != nil {
		y.Data, _ = pickle.Marshal(nil, runtimeError("an exception that cannot be sent: %s", e.Type)) // a str can be
	}
	return y
}

// value is the outcome as the client sees it.
func (y Yield) value() (any, error) {
	v, err := pickle.Unmarshal(y.Data, data)
	if err != nil {
		return nil, err
	}
	if !y.Failed {
		return v, nil
	}
	e, ok := v.(*PythonError)
	if !ok {
		return nil, runtimeError("%s", pickle.Repr(v, 500))
	}
	return nil, e
}

// An Engine is what pools run functions on.
type Engine struct {
	// Open returns an executor for a pool of so many workers, 0 the default, and
	// whether the pool has to close it.
	Open func(workers int) (ex tristrand.Executor, own bool)

	// Own are functions of the server's, which run in its process alone. Tasks are
	// names of tasks, which every engine can run, as it can Python's functions.
	Own   map[string]Function
	Tasks []string
}

// Knows reports whether pools run a function of that name.
func (g *Engine) Knows(name string) bool {
	return g.Own[name] != nil || slices.Contains(g.Tasks, name) || functions[name] != nil
}

// submit hands a call to ex.
func (g *Engine) submit(ctx context.Context, ex tristrand.Executor, name string, args pickle.Tuple, kwds *pickle.Dict) (*tristrand.Future[Yield], error) {
	if !g.Knows(name) {
		return nil, typeError("%s is not a function that this server runs", name)
	}
	if kwds == nil {
		kwds = new(pickle.Dict)
	}
	b, err := pickle.Marshal(nil, pickle.Tuple{args, kwds})
	if err != nil {
		return nil, err
	}
	if f := g.Own[name]; f != nil {
		return tristrand.Go(ctx, ex, func(ctx context.Context) (Yield, error) { return Run(ctx, f, b), nil }), nil
	}
	return work.Submit(ctx, ex, Work{name, slices.Contains(g.Tasks, name), b}), nil
}

// outcome waits for a call under ctx.
func outcome(ctx context.Context, f *tristrand.Future[Yield]) (any, error) {
	y, err := f.Result(ctx)
	switch {
	case err == nil:
		return y.value()
	case ctx.Err() != nil && errors.Is(err, ctx.Err()):
		return nil, err
	case errors.Is(err, tristrand.ErrClosed), errors.Is(err, tristrand.ErrCancelled):
		return nil, valueError("Pool not running")
	default:
		return nil, runtimeError("%v", err)
	}
}

// A batch is the calls of one request, in order.
type batch struct {
	single bool // the result is one value, not a list

	mu      sync.Mutex
	futures []*tristrand.Future[Yield] // handed over
	refused error                      // why the next could not be
	turn    *local.Event               // set when there is a next; nil while nobody waits
	total   int
}

// add notes the next call, or why there are no more.
func (b *batch) add(f *tristrand.Future[Yield], err error) {
	b.mu.Lock()
	if err != nil {
		b.refused = err
	} else {
		b.futures = append(b.futures, f)
	}
	turn := b.turn
	b.turn = nil
	b.mu.Unlock()
	if turn != nil {
		_ = turn.Set(context.Background()) // a local event has no error
	}
}

// await returns the i-th call, once it has been handed over.
func (b *batch) await(ctx context.Context, i int) (*tristrand.Future[Yield], error) {
	for {
		b.mu.Lock()
		if i < len(b.futures) || b.refused != nil {
			defer b.mu.Unlock()
			if i < len(b.futures) {
				return b.futures[i], nil
			}
			return nil, b.refused
		}
		if b.turn == nil {
			b.turn = new(local.Event)
		}
		turn := b.turn
		b.mu.Unlock()
		if err := turn.Wait(ctx); err != nil {
			return nil, err
		}
	}
}

// wait waits until all are done.
func (b *batch) wait(ctx context.Context) error {
	for i := range b.total {
		f, err := b.await(ctx, i)
		if err != nil && ctx.Err() != nil {
			return ctx.Err()
		}
		if f == nil {
			return nil // there are no more; why is the outcome
		}
		if _, err := f.Result(ctx); err != nil && ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return nil
}

// done reports whether all are done.
func (b *batch) done() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.futures) < b.total && b.refused == nil {
		return false
	}
	for _, f := range b.futures {
		if s := f.State(); s == tristrand.Pending || s == tristrand.Running {
			return false
		}
	}
	return true
}

// result returns the outcome of them all: the first error in order, when all
// are done.
func (b *batch) result(ctx context.Context) (any, error) {
	if err := b.wait(ctx); err != nil {
		return nil, err
	}
	var first error
	items := make([]any, 0, b.total)
	for i := range b.total {
		f, err := b.await(ctx, i)
		if err == nil {
			var v any
			if v, err = outcome(ctx, f); err == nil {
				items = append(items, v)
				continue
			}
		}
		if first == nil {
			first = err
		}
	}
	switch {
	case first != nil:
		return nil, first
	case b.single:
		return items[0], nil
	default:
		return &pickle.List{Items: items}, nil
	}
}
