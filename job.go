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
	task *Task[In, Out]
	in   In
	ctx  context.Context // of Submit
	opts *settings       // nil if there are none

	first  try     // the first try; each later one is allocated
	now    *try    // the current one; guarded by Future.mu
	failed []error // of the tries so far; whoever has claimed the job
}

// A try is one run of a job's function.
type try struct {
	ctx   strand.Context
	n     uint32 // from 1
	timer func() bool
}

func (t *Task[In, Out]) newCall(ctx context.Context, ex Executor, in In, opts *settings) *call[In, Out] {
	c := &call[In, Out]{task: t, in: in, ctx: ctx, opts: opts}
	c.job = c
	c.ex = ex
	c.state.Store(word(1, Pending))
	return c
}

func (c *call[In, Out]) handOver(ctx context.Context, submit func(Executor, context.Context, Job) error) error {
	if c.ex == nil {
		return errors.New("tristrand: the executor is nil; give Submit a pool")
	}
	if err := strand.Err(ctx); err != nil {
		return err
	}
	return submit(c.ex, ctx, c)
}

func (c *call[In, Out]) sealed() {}

var jobs atomic.Uint64

// ID returns a number that is unique in the process, after the task's name.
func (c *call[In, Out]) ID() string {
	n := c.id.Load()
	if n == 0 {
		c.id.CompareAndSwap(0, jobs.Add(1))
		n = c.id.Load()
	}
	return c.title() + "#" + strconv.FormatUint(n, 10)
}

func (c *call[In, Out]) title() string {
	if c.task.name == "" {
		return "func"
	}
	return c.task.name
}

func (c *call[In, Out]) Task() string             { return c.task.name }
func (c *call[In, Out]) Context() context.Context { return c.ctx }
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
	s := strand.Current(ctx)
	t := c.begin(s)
	if t == nil {
		return Next{State: c.State()}
	}
	returned := false
	defer func() {
		if returned {
			return
		}
		err := error(ErrGoexit)
		if v := recover(); v != nil {
			err = &PanicError{v, debug.Stack(), c.task.name}
		}
		var none Out
		next = c.settle(t, none, err)
	}()
	var out Out
	var err error
	if c.opts != nil && len(c.opts.limits.Label) > 0 {
		pprof.Do(&t.ctx, pprof.Labels(flatten(c.opts.limits.Label)...), func(ctx context.Context) {
			out, err = c.task.fn(ctx, c.in)
		})
	} else {
		out, err = c.task.fn(&t.ctx, c.in)
	}
	returned = true
	return c.settle(t, out, err)
}

func flatten(m map[string]string) []string {
	var kv []string
	for k, v := range m {
		kv = append(kv, k, v)
	}
	return kv
}

// begin starts the next try on s. It returns nil if the job has been settled,
// as it is here when its ctx has ended.
func (c *call[In, Out]) begin(s *strand.Strand) *try {
	if err := strand.Err(c.ctx); err != nil {
		c.cancelPending(err)
		return nil
	}
	w := c.state.Load()
	if phaseOf(w) != Pending {
		return nil
	}
	t := &c.first
	if tryOf(w) > 1 {
		t = new(try)
		c.delayed.Store(false)
	}
	t.n = tryOf(w)
	var deadline time.Time
	limit := c.Limits().Timeout
	if limit > 0 {
		deadline = time.Now().Add(limit)
	}
	t.ctx.Init(c.ctx, s, deadline)
	c.mu.Lock()
	c.now = t
	c.mu.Unlock()
	c.runner.Store(uint64(s.ID()))
	if !c.state.CompareAndSwap(w, word(t.n, Running)) {
		return nil
	}
	if limit > 0 {
		t.timer = s.After(limit, func() { c.expire(t, s.ID()) })
	}
	return t
}

// expire settles a try whose time is up.
func (c *call[In, Out]) expire(t *try, by strand.ID) {
	if !c.claim(t.n, Running) {
		return
	}
	t.ctx.End(ErrTimeout)
	var none Out
	next := c.settled(t, none, fmt.Errorf("%w: %s has run for %v", ErrTimeout, c.ID(), c.opts.limits.Timeout))
	if a, ok := c.ex.(Abandoner); ok {
		a.Abandoned(c, by, next)
	}
}

// settle ends a try that has returned, unless its time was up before.
func (c *call[In, Out]) settle(t *try, out Out, err error) Next {
	if t.timer != nil {
		t.timer()
	}
	claimed := c.claim(t.n, Running)
	t.ctx.End(context.Canceled)
	if !claimed {
		return Next{State: c.State()}
	}
	return c.settled(t, out, err)
}

// settled publishes the outcome of a claimed try, or makes the job pending
// again for another one.
func (c *call[In, Out]) settled(t *try, out Out, err error) Next {
	if err != nil && c.opts != nil && c.opts.limits.Retries > 0 {
		c.failed = append(c.failed, err)
		if int(t.n) <= c.opts.limits.Retries && !final(err) && c.ctx.Err() == nil && !c.unwanted.Load() {
			next := Next{Again: true, After: c.opts.pause(int(t.n))}
			c.delayed.Store(true)
			c.state.Store(word(t.n+1, Pending))
			return next
		}
		if len(c.failed) > 1 {
			err = errors.Join(c.failed...)
		}
	}
	end := Succeeded
	if err != nil {
		end = Failed
	}
	c.publish(out, err, end)
	return Next{State: end}
}

// Start is for jobs that run elsewhere.
func (c *call[In, Out]) Start(interrupt func(cause error)) bool {
	w := c.state.Load()
	if phaseOf(w) != Pending {
		return false
	}
	c.mu.Lock()
	c.interrupt = interrupt
	c.mu.Unlock()
	if !c.state.CompareAndSwap(w, word(tryOf(w), Running)) {
		return false
	}
	if c.unwanted.Load() {
		interrupt(ErrCancelled)
	}
	return true
}

// Finish settles the current try of a job that runs elsewhere, or one that did
// not start.
func (c *call[In, Out]) Finish(out any, err error) Next {
	w := c.state.Load()
	n := tryOf(w)
	if phaseOf(w) > Running || !c.claim(n, phaseOf(w)) {
		return Next{State: c.State()}
	}
	var value Out
	if err == nil && out != nil {
		p, ok := out.(*Out)
		if !ok {
			err = fmt.Errorf("tristrand: task %q gives %T, not %T", c.task.name, p, out)
		} else {
			value = *p
		}
	}
	if err != nil && phaseOf(w) == Pending && errors.Is(err, ErrCancelled) {
		c.publish(value, err, Cancelled)
		return Next{State: Cancelled}
	}
	return c.settled(&try{n: n}, value, err)
}

// refuse settles a job that was not accepted.
func (c *call[In, Out]) refuse(err error) {
	if c.claim(1, Pending) {
		var none Out
		c.publish(none, err, Failed)
	}
}

// Cancel settles a job that has not started, and asks one that runs to stop.
func (c *call[In, Out]) Cancel(cause error) bool {
	for {
		switch w := c.state.Load(); phaseOf(w) {
		case Pending:
			if c.cancelPending(cause) {
				return tryOf(w) == 1
			}
		case Running:
			c.stop(cause)
			return false
		case Cancelled:
			return tryOf(w) == 1
		default:
			return false
		}
	}
}

// cancelPending settles a job that has not started, with an error that is
// ErrCancelled and the cause, after those of the tries that it has behind it.
func (c *call[In, Out]) cancelPending(cause error) bool {
	w := c.state.Load()
	if phaseOf(w) != Pending || !c.claim(tryOf(w), Pending) {
		return false
	}
	err := cause
	if !errors.Is(cause, ErrCancelled) {
		err = &cancelledError{cause}
	}
	if len(c.failed) > 0 {
		err = errors.Join(append(c.failed, err)...)
	}
	var none Out
	c.publish(none, err, Cancelled)
	return true
}

// stop asks a running job to stop.
func (c *call[In, Out]) stop(cause error) {
	c.unwanted.Store(true)
	c.mu.Lock()
	t, interrupt := c.now, c.interrupt
	c.mu.Unlock()
	if t != nil {
		t.ctx.End(cause)
	}
	if interrupt != nil {
		interrupt(cause)
	}
}

// A cancelledError says that a job was cancelled because its ctx ended.
type cancelledError struct{ err error }

func (e *cancelledError) Error() string   { return ErrCancelled.Error() + ": " + e.err.Error() }
func (e *cancelledError) Unwrap() []error { return []error{ErrCancelled, e.err} }
