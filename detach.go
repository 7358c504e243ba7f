package tristrand

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/tristrand/tristrand/strand"
)

// Detach hands fn to ex and forgets it: there is no Future. It waits under ctx
// while ex has no room, and returns why fn will not run. ctx becomes fn's, see
// Task.Submit; if it ends before fn starts, fn is not called. An error or a
// panic of fn goes to OnReport. It costs less than half of a Submit, and one
// small allocation. It panics if fn is nil.
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
	d := &detached{fn: fn}
	d.ctx.Init(ctx)
	return ex.Submit(ctx, d)
}

var errNoExecutor = errors.New("tristrand: the executor is nil; give Submit a pool")

// A detached is a job that nobody waits for.
type detached struct {
	ctx   strand.Context
	fn    func(ctx context.Context) error
	phase atomic.Uint32 // a FutureState
}

func (d *detached) sealed() {}

// ID returns the address, which is unique while the job lives.
func (d *detached) ID() string               { return fmt.Sprintf("detached@%p", d) }
func (d *detached) Task() string             { return "" }
func (d *detached) Limits() Limits           { return Limits{} }
func (d *detached) Context() context.Context { return d.ctx.Parent() }
func (d *detached) Input() any               { return nil }
func (d *detached) NewOutput() any           { return new(struct{}) }

func (d *detached) Run(ctx context.Context) (next Next) {
	if d.Context().Err() != nil || !d.phase.CompareAndSwap(uint32(Pending), uint32(Running)) {
		return Next{State: Cancelled}
	}
	d.ctx.Bind(strand.Current(ctx), time.Time{})
	returned := false
	defer func() {
		if returned {
			return
		}
		err := ErrGoexit
		if v := recover(); v != nil {
			err = &PanicError{v, debug.Stack(), ""}
		}
		next = d.finish(err)
	}()
	err := d.fn(&d.ctx)
	returned = true
	return d.finish(err)
}

func (d *detached) finish(err error) Next {
	d.ctx.End(context.Canceled)
	if err == nil {
		return Next{State: Succeeded}
	}
	Report(d.Context(), fmt.Errorf("tristrand: a detached function: %w", err))
	return Next{State: Failed}
}

// Cancel keeps the function from starting, or ends its ctx.
func (d *detached) Cancel(cause error) bool {
	if d.phase.CompareAndSwap(uint32(Pending), uint32(Cancelled)) {
		return true
	}
	d.ctx.End(cause)
	return d.phase.Load() == uint32(Cancelled)
}

// Start and Finish are for engines that run jobs elsewhere, which refuse
// closures.
func (d *detached) Start(func(cause error)) bool { return false }

func (d *detached) Finish(_ any, err error) Next {
	if err != nil {
		Report(d.Context(), fmt.Errorf("tristrand: a detached function: %w", err))
	}
	return Next{State: Failed}
}
