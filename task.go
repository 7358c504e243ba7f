package tristrand

import (
	"context"
	"fmt"
	"runtime/debug"
	"strings"
	"sync"
)

// A Task is a function that every engine can run: a named one, made by Define,
// anywhere; a nameless one, made by Func, in this process.
type Task[In, Out any] struct{ function[In, Out] }

// A function is what a task calls, without what can be done with it: a task of
// chunks would have tasks of chunks in turn, without an end.
type function[In, Out any] struct {
	name string
	fn   func(context.Context, In) (Out, error)
	fill func(ctx context.Context, in In, out *Out) error // in place of fn, for a chunk: see inChunks
}

// A Handler is a defined task as the worker's side of an engine sees it.
type Handler struct {
	NewInput func() any // a pointer to decode the input into
	Call     func(ctx context.Context, in any) (out any, err error)
}

var defined struct {
	sync.RWMutex
	handlers map[string]Handler
}

// Define makes a task that other processes and machines find by its name. It
// belongs in package variables, so that every process of the program has it. It
// panics if the name is empty, taken, or ends with "[]", which names a task's
// chunks; if fn is nil; and after process.Init, when the other processes could
// not know of the task any more.
func Define[In, Out any](name string, fn func(context.Context, In) (Out, error)) *Task[In, Out] {
	switch {
	case name == "":
		panic("tristrand: Define: the name is empty; give the task one that is unique in the program")
	case strings.HasSuffix(name, chunkSuffix):
		panic(fmt.Sprintf("tristrand: Define(%q): names that end with %q are for the chunks of Map; take another", name, chunkSuffix))
	case fn == nil:
		panic(fmt.Sprintf("tristrand: Define(%q): the function is nil", name))
	}
	mustBeOpen(fmt.Sprintf("Define(%q)", name), "define tasks in package variables")
	defined.Lock()
	defer defined.Unlock()
	if _, taken := defined.handlers[name]; taken {
		panic(fmt.Sprintf("tristrand: Define(%q): the name is defined already; give each task its own", name))
	}
	if defined.handlers == nil {
		defined.handlers = make(map[string]Handler)
	}
	t := &Task[In, Out]{function[In, Out]{name: name, fn: fn}}
	defined.handlers[name] = t.handler()
	chunks := inChunks(&t.function)
	defined.handlers[chunks.name] = chunks.handler()
	return t
}

// handler returns the function as the worker's side of an engine calls it.
func (f *function[In, Out]) handler() Handler {
	return Handler{
		NewInput: func() any { return new(In) },
		Call: func(ctx context.Context, in any) (any, error) {
			p, ok := in.(*In)
			if !ok {
				return nil, fmt.Errorf("tristrand: task %q takes %T, not %T", f.name, p, in)
			}
			out := new(Out)
			if f.fill != nil {
				return out, f.fill(ctx, *p, out)
			}
			var err error
			*out, err = f.fn(ctx, *p)
			return out, err
		},
	}
}

// Lookup returns the handler of a defined task or, under its name followed by
// "[]", of a chunk of its calls: see Outcomes.
func Lookup(name string) (Handler, bool) {
	defined.RLock()
	defer defined.RUnlock()
	h, ok := defined.handlers[name]
	return h, ok
}

// Func makes a nameless task of a closure. Engines that cross the border of the
// process refuse it with ErrNotPortable. It panics if fn is nil.
func Func[In, Out any](fn func(context.Context, In) (Out, error)) *Task[In, Out] {
	if fn == nil {
		panic("tristrand: Func: the function is nil")
	}
	return &Task[In, Out]{function[In, Out]{fn: fn}}
}

// Name returns the task's name, "" if it was made by Func.
func (t *Task[In, Out]) Name() string { return t.name }

// Submit hands a call of the task to ex and returns its Future, never nil: a
// job that was refused is a Future that has failed. It waits under ctx while ex
// has no room. ctx becomes the job's, too: its end cancels the job, its deadline
// and, within the process, its values are the job's; context.WithoutCancel
// detaches it. In is not copied.
func (t *Task[In, Out]) Submit(ctx context.Context, ex Executor, in In, opts ...CallOption) *Future[Out] {
	return t.submit(ctx, ex, in, apply(opts))
}

func (f *function[In, Out]) submit(ctx context.Context, ex Executor, in In, opts *settings) *Future[Out] {
	c := f.newCall(ctx, ex, in, opts)
	c.submit(ctx)
	return &c.Future
}

// TrySubmit is Submit that returns ErrFull instead of waiting, and any other
// refusal as its error as well. The Future is nil then.
func (t *Task[In, Out]) TrySubmit(ctx context.Context, ex Executor, in In, opts ...CallOption) (*Future[Out], error) {
	c := t.newCall(ctx, ex, in, apply(opts))
	if err := c.handOver(ctx, Executor.TrySubmit); err != nil {
		return nil, err
	}
	return &c.Future, nil
}

// Call is Submit and Result in one, with ctx for both. When ctx ends first it
// cancels the job.
func (t *Task[In, Out]) Call(ctx context.Context, ex Executor, in In, opts ...CallOption) (Out, error) {
	f := t.Submit(ctx, ex, in, opts...)
	out, err := f.Result(ctx)
	if err != nil {
		f.Cancel()
	}
	return out, err
}

// guard calls the function and turns a panic into an error.
func (f *function[In, Out]) guard(ctx context.Context, in In) (out Out, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &PanicError{v, debug.Stack(), f.name}
		}
	}()
	return f.fn(ctx, in)
}

// Go runs a closure on ex; see Submit.
func Go[T any](ctx context.Context, ex Executor, fn func(context.Context) (T, error), opts ...CallOption) *Future[T] {
	if fn == nil {
		panic("tristrand: Go: the function is nil")
	}
	f := function[struct{}, T]{fn: func(ctx context.Context, _ struct{}) (T, error) { return fn(ctx) }}
	return f.submit(ctx, ex, struct{}{}, apply(opts))
}
