package tristrand

import (
	"context"
	"errors"
)

// A Bound is a task together with its input, for what is to run once somewhere
// else: process.Start, or the Init of a process.Pool. The zero value is no task,
// which whoever is given it refuses. It may be used any number of times.
type Bound struct{ to binding }

// A binding is a task with its input, without their types.
type binding interface {
	task() string
	input() any
	call(ctx context.Context) error
}

type bound[In, Out any] struct {
	t  *Task[In, Out]
	in In
}

// Bind returns the task with the input that it is to be called with. In is not
// copied.
func (t *Task[In, Out]) Bind(in In) Bound { return Bound{&bound[In, Out]{t, in}} }

// Task returns the task's name, "" if it was made by Func: what crosses the
// border of the process refuses that with ErrNotPortable.
func (b Bound) Task() string {
	if b.to == nil {
		return ""
	}
	return b.to.task()
}

// Input returns a pointer to the input, to be encoded; nil for the zero value.
func (b Bound) Input() any {
	if b.to == nil {
		return nil
	}
	return b.to.input()
}

var errUnbound = errors.New("tristrand: the Bound is empty; make one by a task's Bind")

// Call calls the task here, on the caller's goroutine, with ctx as its ctx, and
// returns its error, or its panic as a *PanicError. The output is dropped.
func (b Bound) Call(ctx context.Context) error {
	if b.to == nil {
		return errUnbound
	}
	return b.to.call(ctx)
}

func (b *bound[In, Out]) task() string { return b.t.name }
func (b *bound[In, Out]) input() any   { return &b.in }

func (b *bound[In, Out]) call(ctx context.Context) error {
	_, err := b.t.guard(ctx, b.in)
	return err
}
