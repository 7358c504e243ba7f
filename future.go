package tristrand

import (
	"context"
	"fmt"
	"reflect"
	"runtime/debug"
	"slices"
	"sync/atomic"

	"github.com/tristrand/tristrand/strand"
)

// A Future is the result to come of a job. Its methods may be called from
// anywhere, any number of times.
type Future[T any] struct {
	outcome
	value T
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
	x := f.rest()
	if x.done == nil {
		x.done = make(chan struct{})
		if f.beWatched(context.Background()) {
			close(x.done)
			x.told = true
		}
	}
	return x.done
}

// Cancel returns true if the job has not run and never will; its outcome is
// ErrCancelled then. It returns false for a job that runs, which is asked to
// stop, its ctx ending with cause ErrCancelled, and for one that is done
// otherwise.
func (f *Future[T]) Cancel() bool { return f.job.Cancel(ErrCancelled) }

// OnDone has fn called when the job is done, on the goroutine that finishes it,
// after the functions added before; it must not block. If the job is done it is
// called at once. A panic of fn is reported, see OnReport.
func (f *Future[T]) OnDone(fn func(*Future[T])) {
	f.onDone(context.Background(), nil, func() { fn(f) })
}

// A callback is a function to be called when a job is done.
type callback struct {
	fn func()
	by *arrivals // who may take it back; nil: nobody
}

// onDone is OnDone for one who waits under a ctx, and may take it back.
func (o *outcome) onDone(under context.Context, by *arrivals, fn func()) {
	o.mu.Lock()
	if o.beWatched(under) {
		o.mu.Unlock()
		o.runCalls([]callback{{fn, by}})
		return
	}
	x := o.rest()
	x.calls = append(x.calls, callback{fn, by})
	o.mu.Unlock()
}

// offDone takes back what was given to onDone.
func (o *outcome) offDone(by *arrivals) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.more != nil {
		o.more.calls = slices.DeleteFunc(o.more.calls, func(c callback) bool { return c.by == by })
	}
}

// Watch grants w when the job is done, at once if it is. stop ends the watch.
func (f *Future[T]) Watch(w strand.Wait) (stop func()) {
	first := f.watch(context.Background(), w)
	var stopped atomic.Bool
	return func() {
		if !stopped.Swap(true) { // another may be the first who waits by then
			f.forget(w, first)
		}
	}
}

// publish makes the outcome of a claimed job known.
func (f *Future[T]) publish(value T, err error, end FutureState) {
	f.value, f.err = value, err
	for {
		w := f.state.Load()
		if !f.state.CompareAndSwap(w, word(tryOf(w), end)) {
			continue
		}
		if w&firstBit != 0 {
			first := f.first
			f.first = strand.Wait{}
			first.Grant()
		}
		if w&watchedBit != 0 {
			f.tell()
		}
		return
	}
}

func (o *outcome) wait(ctx context.Context, s *strand.Strand) error {
	if err := strand.Err(ctx); err != nil {
		return err
	}
	w := s.NewWait()
	first := o.watch(ctx, w)
	err := o.park(ctx, w, first)
	if err != nil {
		o.forget(w, first)
	}
	return err
}

// park parks the strand that waits, or lets it fetch the outcome itself if the job's
// engine knows how, and nobody else wants it.
func (o *outcome) park(ctx context.Context, w strand.Wait, first bool) error {
	if first && o.marks.Load()&elsewhere != 0 && w.Strand().Scheduler() == nil {
		if f, ok := o.ex.(Fetcher); ok {
			alone := func() bool { return o.state.Load()&waitBits == firstBit }
			if b := f.Fetch(o.job, alone); b != nil {
				return w.ParkIn(ctx, o, b)
			}
		}
	}
	return w.Park(ctx, o)
}

// watch grants w when the job is done. under is the ctx that w waits under. It
// returns whether w is the first who waits, for forget.
func (o *outcome) watch(under context.Context, w strand.Wait) (first bool) {
	if o.watchFirst(under, w) {
		return true
	}
	o.mu.Lock()
	if o.beWatched(under) {
		o.mu.Unlock()
		w.Grant()
		return false
	}
	x := o.rest()
	x.waits = append(x.waits, w)
	o.mu.Unlock()
	return false
}

// watchFirst is watch for the first who waits, without the mutex.
func (o *outcome) watchFirst(under context.Context, w strand.Wait) bool {
	if o.needsContext(under) {
		return false
	}
	s := o.state.Load()
	if phaseOf(s) > settling || s&waitBits != 0 || !o.state.CompareAndSwap(s, s|claimBit) {
		return false
	}
	o.first = w
	for {
		s := o.state.Load()
		if phaseOf(s) > settling { // whoever settled it did not see w
			o.first = strand.Wait{}
			w.Grant()
			return true
		}
		if !o.state.CompareAndSwap(s, s&^claimBit|firstBit) {
			continue
		}
		if o.needsContext(under) { // it has become pending again
			o.mu.Lock()
			o.beWatched(under)
			o.mu.Unlock()
		}
		return true
	}
}

// beWatched makes whoever settles the job look for those who wait, and reports
// whether it is too late because the job is done. The caller holds mu.
func (o *outcome) beWatched(under context.Context) (done bool) {
	for {
		w := o.state.Load()
		if phaseOf(w) > settling {
			return true
		}
		if o.state.CompareAndSwap(w, w|watchedBit) {
			break
		}
	}
	if x := o.rest(); x.unwatch == nil && o.needsContext(under) {
		ctx := o.job.Context()
		x.unwatch = context.AfterFunc(ctx, func() { o.job.cancelPending(strand.Err(ctx)) })
	}
	return false
}

// needsContext reports whether the end of the job's ctx has to be watched, for it
// to settle the job while it is pending: somebody waits under another one. Until
// then nobody needs that, as an engine looks at the ctx when it gets to the job.
func (o *outcome) needsContext(under context.Context) bool {
	ctx := o.job.Context()
	return ctx.Done() != nil && (o.phase() == Pending || o.job.Limits().Retries > 0) && !same(under, ctx)
}

func same(a, b context.Context) bool {
	return reflect.TypeOf(a).Comparable() && a == b
}

// forget ends a watch, if the job is not done.
func (o *outcome) forget(w strand.Wait, first bool) {
	for s := o.state.Load(); first && s&firstBit != 0 && phaseOf(s) <= settling; s = o.state.Load() {
		if o.state.CompareAndSwap(s, s&^firstBit) {
			return
		}
	}
	if first {
		return // too late: w has been granted
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.more == nil {
		return
	}
	for i, x := range o.more.waits {
		if x == w {
			last := len(o.more.waits) - 1
			o.more.waits[i] = o.more.waits[last]
			o.more.waits[last] = strand.Wait{}
			o.more.waits = o.more.waits[:last]
			return
		}
	}
}

// tell tells those who wait that the job is done.
func (o *outcome) tell() {
	o.mu.Lock()
	x := o.more
	var waits []strand.Wait
	var calls []callback
	var unwatch func() bool
	if x != nil {
		waits, calls, unwatch = x.waits, x.calls, x.unwatch
		x.waits, x.calls, x.unwatch, x.interrupt, x.withdraw = nil, nil, nil, nil, nil
		if x.done != nil && !x.told { // Done may have come since the outcome was published
			close(x.done)
			x.told = true
		}
	}
	o.mu.Unlock()
	if unwatch != nil {
		unwatch()
	}
	for _, w := range waits {
		w.Grant()
	}
	o.runCalls(calls)
}

// runCalls calls the functions in order; one that panics or ends its goroutine
// does not keep the others from being called.
func (o *outcome) runCalls(calls []callback) {
	if len(calls) == 0 {
		return
	}
	returned := false
	defer func() {
		if returned {
			return
		}
		err := ErrGoexit
		if v := recover(); v != nil {
			err = &PanicError{v, debug.Stack(), o.job.Task()}
		}
		Report(o.job.Context(), fmt.Errorf("tristrand: a function given to OnDone of %s: %w", o.job.ID(), err))
		o.runCalls(calls[1:])
	}()
	for len(calls) > 0 {
		calls[0].fn()
		if len(calls) == 1 {
			break
		}
		calls = calls[1:]
	}
	returned = true
}
