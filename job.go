package tristrand

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"runtime/pprof"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/tristrand/tristrand/strand"
)

// A call is one call of a task: the Job that engines see and the Future that
// the caller holds, in one allocation.
type call[In, Out any] struct {
	Future[Out]
	task *function[In, Out]
	in   In
	opts *settings      // nil if there are none
	ctx  strand.Context // of the first try; its parent is that of Submit
}

// A try is one run of a job's function.
type try struct {
	n     uint32 // from 1; 0 is none
	ctx   *strand.Context
	timer func() bool // nil if it has no time limit
	by    Worker      // nil if the engine does not want to be told
	late  bool        // its time is up
}

func (f *function[In, Out]) newCall(ctx context.Context, ex Executor, in In, opts *settings) *call[In, Out] {
	c := &call[In, Out]{task: f, in: in, opts: opts}
	c.ctx.Init(ctx)
	c.job = c
	c.ex = ex
	return c
}

func (c *call[In, Out]) handOver(ctx context.Context, submit func(Executor, context.Context, Job) error) error {
	if c.ex == nil {
		return errNoExecutor
	}
	if ctx.Err() != nil {
		return strand.Err(ctx)
	}
	return submit(c.ex, ctx, c)
}

// submit hands the job over, or makes its refusal its outcome.
func (c *call[In, Out]) submit(ctx context.Context) {
	if err := c.handOver(ctx, Executor.Submit); err != nil {
		c.refuse(err)
	}
}

func (c *call[In, Out]) sealed() {}

var jobs atomic.Uint64

// ID returns a number that is unique in the process, after the task's name.
func (c *call[In, Out]) ID() string {
	c.mu.Lock()
	x := c.rest()
	if x.id == 0 {
		x.id = jobs.Add(1)
	}
	c.mu.Unlock()
	name := c.task.name
	if name == "" {
		name = "func"
	}
	return name + "#" + strconv.FormatUint(x.id, 10)
}

func (c *call[In, Out]) Task() string             { return c.task.name }
func (c *call[In, Out]) Context() context.Context { return c.ctx.Parent() }
func (c *call[In, Out]) Input() any               { return &c.in }
func (c *call[In, Out]) NewOutput() any           { return new(Out) }

func (c *call[In, Out]) Limits() Limits {
	if c.opts == nil {
		return Limits{}
	}
	return c.opts.limits
}

// Run starts the job, calls the function, recovers and finishes.
func (c *call[In, Out]) Run(ctx context.Context) (next Next) {
	t := c.begin(ctx)
	if t.n == 0 {
		return Next{State: Cancelled} // nothing else settles a job that waits
	}
	returned := false
	defer func() {
		if returned {
			return
		}
		err := ErrGoexit
		if v := recover(); v != nil {
			err = &PanicError{v, debug.Stack(), c.task.name}
		}
		var out Out
		if c.task.fill != nil {
			out = c.value // as far as it has come
			c.marks.Or(partial)
		}
		next = c.settle(t, out, err)
	}()
	out, err := c.invoke(t.ctx)
	returned = true
	return c.settle(t, out, err)
}

// invoke calls the function, under its labels if it has any.
func (c *call[In, Out]) invoke(ctx context.Context) (out Out, err error) {
	if c.opts == nil || len(c.opts.limits.Label) == 0 {
		return c.enter(ctx)
	}
	var kv []string
	for k, v := range c.opts.limits.Label {
		kv = append(kv, k, v)
	}
	pprof.Do(ctx, pprof.Labels(kv...), func(ctx context.Context) { out, err = c.enter(ctx) })
	return out, err
}

func (c *call[In, Out]) enter(ctx context.Context) (out Out, err error) {
	if c.marks.Load()&gauged != 0 {
		c.measure()
		defer c.measured()
	}
	if c.task.fill == nil {
		return c.task.fn(ctx, c.in)
	}
	err = c.task.fill(ctx, c.in, &c.value)
	return c.value, err
}

// begin starts the next try on the worker of ctx. It returns none if the job has been settled,
// as it is here when its ctx has ended.
func (c *call[In, Out]) begin(ctx context.Context) try {
	if parent := c.Context(); parent.Err() != nil {
		c.cancelPending(strand.Err(parent))
		return try{}
	}
	w := c.state.Load()
	if phaseOf(w) != Pending {
		return try{}
	}
	s := strand.Current(ctx)
	t := try{n: tryOf(w), ctx: &c.ctx}
	t.by, _ = ctx.(Worker)
	if t.n == 1 {
		c.runner = s.ID()
	} else {
		t.ctx = new(strand.Context)
		t.ctx.Init(c.Context())
		c.mu.Lock()
		x := c.rest()
		x.now, x.runner = t.ctx, s.ID()
		c.mu.Unlock()
		c.marks.And(^uint32(delayed))
	}
	limit := time.Duration(0)
	if c.opts != nil {
		limit = c.opts.limits.Timeout
	}
	var deadline time.Time
	if limit > 0 {
		deadline = time.Now().Add(limit)
	}
	t.ctx.Bind(s, deadline)
	if !c.move(t.n, Pending, Running) {
		return try{}
	}
	if limit > 0 {
		t.timer = c.limit(s, t, limit)
	}
	return t
}

// limit sees to it that a try is given up when its time is up.
func (c *call[In, Out]) limit(s *strand.Strand, t try, d time.Duration) (stop func() bool) {
	return s.After(d, func() { c.expire(t) })
}

// expire settles a try whose time is up.
func (c *call[In, Out]) expire(t try) {
	if !c.claim(t.n, Running) {
		return
	}
	t.late = true
	var none Out
	c.settled(t, none, fmt.Errorf("%w: %s has run for %v", ErrTimeout, c.ID(), c.opts.limits.Timeout))
	t.ctx.End(ErrTimeout)
}

// settle ends a try that has returned, unless its time was up before.
func (c *call[In, Out]) settle(t try, out Out, err error) Next {
	if t.timer != nil {
		t.timer()
		if !c.claim(t.n, Running) {
			return Next{State: Running} // its worker is being told
		}
	} // otherwise nobody else can settle it
	t.ctx.End(context.Canceled)
	return c.settled(t, out, err)
}

// settled publishes the outcome of a try that is the caller's to settle, or
// makes the job pending again for another one.
func (c *call[In, Out]) settled(t try, out Out, err error) Next {
	next := Next{State: Succeeded}
	if err == nil {
		c.announce(t, next)
		c.publish(out, nil, Succeeded)
		return next
	}
	if c.opts != nil && c.opts.limits.Retries > 0 {
		failed := c.keep(err)
		if int(t.n) <= c.opts.limits.Retries && !final(err) && c.Context().Err() == nil && c.marks.Load()&unwanted == 0 {
			next := Next{Again: true, After: c.opts.pause(int(t.n))}
			c.again()
			if c.overtaken() {
				next = Next{State: Cancelled}
			}
			if t.late {
				c.announce(t, next)
			}
			return next
		}
		if len(failed) > 1 {
			err = errors.Join(failed...)
		}
	}
	next.State = Failed
	c.announce(t, next)
	c.publish(out, err, Failed)
	return next
}

// announce tells the worker of an outcome before it is made known: that it is
// given up or, when somebody is about to be woken, that it is as good as free,
// unless functions given to OnDone are to be called first.
func (c *call[In, Out]) announce(t try, next Next) {
	switch {
	case t.by == nil:
	case t.late:
		t.by.Abandoned(c, next)
	case c.state.Load()&waitBits == firstBit:
		t.by.Settled(c, next)
	}
}

// overtaken settles a job that has just been made pending again if it was told to
// stop meanwhile. Otherwise it sees to it that those who wait are told when its
// ctx ends, which nobody had to watch while it ran.
func (c *call[In, Out]) overtaken() bool {
	ctx := c.Context()
	switch {
	case c.marks.Load()&unwanted != 0:
		return c.cancelPending(ErrCancelled) || c.isDone()
	case ctx.Err() != nil:
		return c.cancelPending(strand.Err(ctx)) || c.isDone()
	case c.state.Load()&waitBits != 0:
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.beWatched(context.Background())
	default:
		return false
	}
}

// keep adds the error of a try to those before, and returns them.
func (c *call[In, Out]) keep(err error) []error {
	c.mu.Lock()
	defer c.mu.Unlock()
	x := c.rest()
	x.failed = append(x.failed, err)
	return x.failed
}

// Start is for jobs that run elsewhere.
func (c *call[In, Out]) Start(interrupt func(cause error)) bool {
	n := tryOf(c.state.Load())
	c.mu.Lock()
	x := c.rest()
	offered := x.withdraw != nil // then it runs already
	x.withdraw = nil
	x.interrupt = interrupt // before wanted: who tells it to stop sees this, or is seen there
	c.mu.Unlock()
	if !offered && !c.wanted() {
		return false
	}
	c.marks.Or(elsewhere)
	if c.marks.Load()&gauged != 0 {
		c.measure()
	}
	if !c.move(n, Pending, Running) {
		return false
	}
	c.marks.And(^uint32(delayed))
	return true
}

// wanted reports whether the job may start. One that may not is settled.
func (c *call[In, Out]) wanted() bool {
	switch parent := c.Context(); {
	case c.marks.Load()&unwanted != 0: // it was told to stop when the last try ended
		c.cancelPending(ErrCancelled)
	case parent.Err() != nil:
		c.cancelPending(strand.Err(parent))
	default:
		return true
	}
	return false
}

// Offer is for jobs that are sent before it is their turn.
func (c *call[In, Out]) Offer(withdraw func() bool) bool {
	c.mu.Lock()
	x := c.rest()
	x.withdraw = nil // of an offer that was taken back
	c.mu.Unlock()
	if !c.wanted() {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.phase() != Pending {
		return false
	}
	x.withdraw = withdraw
	x.offers++
	c.marks.And(^uint32(delayed))
	return true
}

// claimPending claims a job that is pending, after taking it back from an engine that
// has sent it ahead. It returns which try it waits for, 0 if it was not pending.
func (c *call[In, Out]) claimPending() (try uint32) {
	for {
		c.mu.Lock()
		w := c.state.Load()
		if phaseOf(w) != Pending {
			c.mu.Unlock()
			return 0
		}
		if c.more == nil || c.more.withdraw == nil {
			claimed := c.claim(tryOf(w), Pending)
			c.mu.Unlock()
			if !claimed {
				return 0
			}
			return tryOf(w)
		}
		withdraw, offer := c.more.withdraw, c.more.offers
		c.mu.Unlock()
		if !withdraw() {
			return 0
		}
		c.mu.Lock()
		if c.more.offers == offer {
			c.more.withdraw = nil
		}
		c.mu.Unlock()
	}
}

// Requeue is for jobs that were to run elsewhere, and did not.
func (c *call[In, Out]) Requeue() bool {
	if !c.move(tryOf(c.state.Load()), Running, Pending) {
		return false
	}
	return !c.overtaken()
}

// Finish settles the current try of a job that runs elsewhere, or one that did
// not start.
func (c *call[In, Out]) Finish(out any, err error) Next {
	w := c.state.Load()
	n, phase := tryOf(w), phaseOf(w)
	if phase > Running || !c.claim(n, phase) {
		return Next{State: c.State()}
	}
	var value Out
	if out != nil {
		p, ok := out.(*Out)
		switch {
		case ok:
			value = *p
			if err != nil {
				c.marks.Or(partial)
			}
		case err == nil:
			err = fmt.Errorf("tristrand: task %q gives %T, not %T", c.task.name, p, out)
		}
	}
	switch {
	case phase == Pending && out == nil:
		c.marks.Or(unstarted)
	case err == nil && c.marks.Load()&gauged != 0:
		c.measured()
	}
	if phase == Pending && errors.Is(err, ErrCancelled) {
		c.publish(value, err, Cancelled)
		return Next{State: Cancelled}
	}
	return c.settled(try{n: n}, value, err)
}

// refuse settles a job that was not accepted.
func (c *call[In, Out]) refuse(err error) {
	if c.claim(1, Pending) {
		c.marks.Or(unstarted)
		var none Out
		c.publish(none, err, Failed)
	}
}

// Cancel settles a job that has not started, and asks one that runs to stop.
func (c *call[In, Out]) Cancel(cause error) bool {
	marked := false
	for {
		switch w := c.state.Load(); phaseOf(w) {
		case Pending:
			if n := c.cancelBefore(cause); n > 0 {
				return n == 1
			}
		case Running:
			c.stop(tryOf(w), cause)
			if now := c.state.Load(); tryOf(now) == tryOf(w) && phaseOf(now) != Pending {
				return false
			} // that try was over, and the next one may not have seen the mark
		case settling: // it may be about to be tried again
			if marked {
				return false // whoever settles it sees the mark
			}
			c.marks.Or(unwanted)
			marked = true
		case Cancelled:
			return tryOf(w) == 1
		default:
			return false
		}
	}
}

// cancelPending settles a job that has not started, with an error that is
// ErrCancelled and the cause, after those of the tries that it has behind it.
func (c *call[In, Out]) cancelPending(cause error) bool { return c.cancelBefore(cause) > 0 }

// cancelBefore is cancelPending that returns which try will not be, 0 if there was
// none to be cancelled.
func (c *call[In, Out]) cancelBefore(cause error) uint32 {
	n := c.claimPending()
	if n == 0 {
		return 0
	}
	err := cause
	if !errors.Is(cause, ErrCancelled) {
		err = &cancelledError{cause}
	}
	if n > 1 {
		err = errors.Join(c.keep(err)...)
	}
	var none Out
	c.publish(none, err, Cancelled)
	return n
}

// stop asks a try that runs to stop.
func (c *call[In, Out]) stop(n uint32, cause error) {
	c.marks.Or(unwanted)
	ctx := &c.ctx
	var interrupt func(error)
	c.mu.Lock()
	if c.more != nil {
		interrupt = c.more.interrupt
		if n > 1 {
			ctx = c.more.now
		}
	}
	c.mu.Unlock()
	if interrupt != nil {
		interrupt(cause) // it runs elsewhere
	} else if ctx != nil {
		ctx.End(cause)
	}
}

// A cancelledError says that a job was cancelled because its ctx ended.
type cancelledError struct{ err error }

func (e *cancelledError) Error() string   { return ErrCancelled.Error() + ": " + e.err.Error() }
func (e *cancelledError) Unwrap() []error { return []error{ErrCancelled, e.err} }
