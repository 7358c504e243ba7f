package tristrand

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"

	"github.com/tristrand/tristrand/strand"
)

// Detach hands fn to ex and forgets it: there is no Future, and fn's ctx is not
// ctx but the worker's, which has no deadline and no values and ends when the
// executor stops what it runs. It waits under ctx while ex has no room, and
// returns why fn will not run. An error or a panic of fn goes to OnReport. It
// costs half of a Submit, and allocates nothing. It panics if fn is nil.
func Detach(ctx context.Context, ex Executor, fn func(ctx context.Context) error) error {
	if fn == nil {
		panic("tristrand: Detach: the function is nil")
	}
	if ex == nil {
		return errNoExecutor
	}
	if ctx.Err() != nil {
		return strand.Err(ctx)
	}
	return ex.Submit(ctx, detached(fn))
}

var errNoExecutor = errors.New("tristrand: the executor is nil; give it a pool")

// A detached is a job that nobody waits for: it has no state.
type detached func(ctx context.Context) error

func (d detached) sealed() {}

// ID returns the address of the function.
func (d detached) ID() string               { return fmt.Sprintf("detached@%p", d) }
func (d detached) Task() string             { return "" }
func (d detached) Limits() Limits           { return Limits{} }
func (d detached) State() FutureState       { return Failed } // asked for when Run did not return
func (d detached) Context() context.Context { return context.Background() }
func (d detached) Input() any               { return nil }
func (d detached) NewOutput() any           { return new(struct{}) }

func (d detached) Run(ctx context.Context) (next Next) {
	returned := false
	defer func() {
		if returned {
			return
		}
		err := ErrGoexit
		if v := recover(); v != nil {
			err = &PanicError{v, debug.Stack(), ""}
		}
		next = d.failed(ctx, err)
	}()
	err := d(ctx)
	returned = true
	if err != nil {
		return d.failed(ctx, err)
	}
	return Next{State: Succeeded}
}

func (d detached) failed(ctx context.Context, err error) Next {
	Report(ctx, fmt.Errorf("tristrand: a detached function: %w", err))
	return Next{State: Failed}
}

// Cancel cannot stop it: an executor that stops ends its worker's ctx.
func (d detached) Cancel(error) bool { return false }

// Start and Finish are for engines that run jobs elsewhere, which refuse
// closures, and for what cannot be run.
func (d detached) Start(func(cause error)) bool { return false }
func (d detached) Offer(func() bool) bool       { return false }
func (d detached) Requeue() bool                { return false }

func (d detached) Finish(_ any, err error) Next {
	return d.failed(context.Background(), err)
}
