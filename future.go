package tristrand

import (
	"context"
	"fmt"
	"reflect"
	"runtime/debug"
	"sync"
	"sync/atomic"

	"github.com/tristrand/tristrand/strand"
)

// A FutureState says how far a job has come.
type FutureState uint32

// The states. A job that is to be tried again is pending.
const (
	Pending FutureState = iota
	Running
	settling // claimed: the outcome is being written
	Succeeded
	Failed
	Cancelled // it never ran, or its ctx ended before it did
)

var futureStates = [...]string{"pending", "running", "running", "succeeded", "failed", "cancelled"}

func (s FutureState) String() string {
	if int(s) < len(futureStates) {
		return futureStates[s]
	}
	return fmt.Sprintf("state %d", uint32(s))
}

// The state word of a job: the number of the try, from 1, and its phase, so
// that what comes late from one try cannot settle the next.
func word(try uint32, phase FutureState) uint32 { return try<<3 | uint32(phase) }
func phaseOf(w uint32) FutureState              { return FutureState(w & 7) }
func tryOf(w uint32) uint32                     { return w >> 3 }

// A Future is the result to come of a job. Its methods may be called from
// anywhere, any number of times.
type Future[T any] struct {
	outcome
	value T
	calls []func(*Future[T]) // by OnDone; guarded by mu
}

// An outcome is what a Future is without its value: all that has no type.
type outcome struct {
	state    atomic.Uint32
	runner   atomic.Uint64 // the strand that runs it
	id       atomic.Uint64
	unwanted atomic.Bool // asked to stop
	delayed  atomic.Bool // pending until a timer fires
	job      running
	ex       Executor

	mu        sync.Mutex
	err       error
	done      chan struct{}
	waits     []strand.Wait
	room      [1]strand.Wait // for the usual one wait
	interrupt func(cause error)
	unwatch   func() bool // of the watch on the job's ctx
}

// running is what an outcome wants of its job.
type running interface {
	Job
	cancelPending(cause error) bool
}

func (o *outcome) claim(try uint32, from FutureState) bool {
	return o.state.CompareAndSwap(word(try, from), word(try, settling))
}

func (o *outcome) phase() FutureState { return phaseOf(o.state.Load()) }
func (o *outcome) isDone() bool       { return o.phase() > settling }

// String names the future as something to wait for.
func (o *outcome) String() string {
	return "the result of " + o.job.ID()
}

// Releasers returns the strand that runs the job or, while it is queued, those
// that could start it.
func (o *outcome) Releasers(buf []strand.Releaser) ([]strand.Releaser, bool) {
	switch o.phase() {
	case Running:
		if id := strand.ID(o.runner.Load()); id != 0 {
			return append(buf, strand.Releaser{Ref: strand.Ref{Strand: id}}), true
		}
	case Pending:
		if r, ok := o.ex.(strand.Resource); ok && !o.delayed.Load() {
			return r.Releasers(buf)
		}
	}
	return buf, false
}

// Result waits for the outcome and returns it. ctx bounds this wait only: when
// it ends, Result returns its error and the job goes on.
func (f *Future[T]) Result(ctx context.Context) (T, error) {
	s := strand.Enter(ctx, strand.Op{Verb: "result", On: &f.outcome})
	if !f.isDone() {
		if err := f.wait(ctx, s); err != nil && !f.isDone() {
			var none T
			return none, err
		}
	}
	return f.value, f.err
}

func (o *outcome) wait(ctx context.Context, s *strand.Strand) error {
	if err := strand.Err(ctx); err != nil {
		return err
	}
	w := s.NewWait()
	o.watch(ctx, w)
	err := w.Park(ctx, o)
	if err != nil {
		o.forget(w)
	}
	return err
}

// TryResult returns the outcome, or ErrNotDone while there is none.
func (f *Future[T]) TryResult() (T, error) {
	if !f.isDone() {
		var none T
		return none, ErrNotDone
	}
	return f.value, f.err
}

// State returns how far the job has come.
func (f *Future[T]) State() FutureState {
	if p := f.phase(); p != settling {
		return p
	}
	return Running
}

// Failed reports whether the job is done and did not succeed.
func (f *Future[T]) Failed() bool { return f.phase() > Succeeded }

// Done returns a channel that is closed when the job is done; the first call
// makes it. Within a hub use Result, which lets others run.
func (f *Future[T]) Done() <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.done == nil {
		f.done = make(chan struct{})
		if f.isDone() {
			close(f.done)
		} else {
			f.watchContext(nil)
		}
	}
	return f.done
}

// Cancel returns true if the job has not run and never will; its outcome is
// ErrCancelled then. It returns false for a job that runs, which is asked to
// stop, its ctx ending with cause ErrCancelled, and for one that is done
// otherwise.
func (f *Future[T]) Cancel() bool {
	return f.job.Cancel(ErrCancelled)
}

// OnDone has fn called when the job is done, on the goroutine that finishes it,
// after the functions added before; it must not block. If the job is done it is
// called at once. A panic of fn is reported, see OnReport.
func (f *Future[T]) OnDone(fn func(*Future[T])) {
	f.mu.Lock()
	if !f.isDone() {
		f.calls = append(f.calls, fn)
		f.watchContext(nil)
		f.mu.Unlock()
		return
	}
	f.mu.Unlock()
	f.runCalls([]func(*Future[T]){fn})
}

// Watch grants w when the job is done, at once if it is. stop ends the watch.
func (f *Future[T]) Watch(w strand.Wait) (stop func()) {
	f.watch(nil, w)
	return func() { f.forget(w) }
}

func (o *outcome) watch(ctx context.Context, w strand.Wait) {
	o.mu.Lock()
	if o.isDone() {
		o.mu.Unlock()
		w.Grant()
		return
	}
	if o.waits == nil {
		o.waits = o.room[:0]
	}
	o.waits = append(o.waits, w)
	o.watchContext(ctx)
	o.mu.Unlock()
}

// watchContext makes the end of the job's ctx settle it while it is pending, now
// that somebody waits who does so under another ctx. Nobody needs it earlier: an
// engine looks at the ctx when it gets to the job. The caller holds mu.
func (o *outcome) watchContext(of context.Context) {
	ctx := o.job.Context()
	if o.unwatch != nil || ctx.Done() == nil || o.phase() != Pending || same(of, ctx) {
		return
	}
	o.unwatch = context.AfterFunc(ctx, func() { o.job.cancelPending(strand.Err(ctx)) })
}

func same(a, b context.Context) bool {
	return a != nil && reflect.TypeOf(a).Comparable() && a == b
}

func (o *outcome) forget(w strand.Wait) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for i, x := range o.waits {
		if x == w {
			last := len(o.waits) - 1
			o.waits[i] = o.waits[last]
			o.waits[last] = strand.Wait{}
			o.waits = o.waits[:last]
			return
		}
	}
}

// publish makes the outcome known. The caller has claimed the job.
func (f *Future[T]) publish(value T, err error, end FutureState) {
	f.mu.Lock()
	f.value, f.err = value, err
	f.state.Store(word(tryOf(f.state.Load()), end))
	calls, waits, unwatch := f.calls, f.waits, f.unwatch
	f.calls, f.waits, f.interrupt, f.unwatch = nil, nil, nil, nil
	if f.done != nil {
		close(f.done)
	}
	f.mu.Unlock()
	if unwatch != nil {
		unwatch()
	}
	for _, w := range waits {
		w.Grant()
	}
	if len(calls) > 0 {
		f.runCalls(calls)
	}
}

// runCalls calls the functions in order; one that panics or ends its goroutine
// does not keep the others from being called.
func (f *Future[T]) runCalls(calls []func(*Future[T])) {
	if len(calls) == 0 {
		return
	}
	returned := false
	defer func() {
		if returned {
			return
		}
		err := error(ErrGoexit)
		if v := recover(); v != nil {
			err = &PanicError{v, debug.Stack(), f.job.Task()}
		}
		Report(f.job.Context(), fmt.Errorf("tristrand: a function given to OnDone of %s: %w", f.job.ID(), err))
		f.runCalls(calls[1:])
	}()
	for len(calls) > 0 {
		calls[0](f)
		if len(calls) == 1 {
			break
		}
		calls = calls[1:]
	}
	returned = true
}
