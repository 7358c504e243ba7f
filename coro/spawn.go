package coro

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/strand"
)

// ErrNoHub says that the caller's ctx names no coroutine of a hub that runs.
var ErrNoHub = errors.New("coro: the caller is in no hub; call it from inside coro.Run, with the ctx of a coroutine")

// ErrHubEnded says that the hub has ended. It is also tristrand.ErrClosed.
var ErrHubEnded error = hubEndedError{}

type hubEndedError struct{}

func (hubEndedError) Error() string        { return "coro: the hub has ended" }
func (hubEndedError) Is(target error) bool { return target == tristrand.ErrClosed }

// A Coroutine is a function that runs in a hub, by turns with the others. Its
// methods may be called from anywhere.
type Coroutine struct {
	seat
	ctx    strand.Context // ends by Kill, and when the function has returned
	fn     func(ctx context.Context) error
	killed atomic.Bool

	end ending
	err error // written before end
}

var (
	_ tristrand.Waitable = (*Coroutine)(nil)
	_ strand.Resource    = (*Coroutine)(nil)
)

// An Option changes how a coroutine is started.
type Option func(*options)

type options struct {
	name  string
	delay time.Duration
}

// Name gives the coroutine a name for errors, reports and lists; the default is its
// kind and number.
func Name(name string) Option { return func(o *options) { o.name = name } }

// Spawn starts fn as a coroutine of the caller's hub, at the end of its queue,
// and does not hand over. The ctx that fn gets ends when Kill is called, when
// the one that Spawn was given ends, and when fn has returned. A coroutine that
// is given another one's own ctx, unchanged, is its sibling and not its child:
// it does not end with it.
//
// Outside a hub the coroutine returned has ended, with ErrNoHub; from a thread or
// goroutine that has the ctx of a coroutine it starts in that one's hub, or has
// ended with ErrHubEnded. Spawn panics if fn is nil.
func Spawn(ctx context.Context, fn func(ctx context.Context) error, opts ...Option) *Coroutine {
	return SpawnAfter(ctx, 0, fn, opts...)
}

// SpawnAfter is Spawn that starts fn when d has passed. A d below 0 is 0. Kill
// before that takes effect at once.
func SpawnAfter(ctx context.Context, d time.Duration, fn func(ctx context.Context) error, opts ...Option) *Coroutine {
	if fn == nil {
		panic("coro: Spawn: the function is nil")
	}
	o := options{delay: d}
	if len(opts) > 0 {
		given := o // o itself shall not escape
		for _, opt := range opts {
			opt(&given)
		}
		o = given
	}
	h := named(ctx)
	if h == nil {
		return stillborn(fmt.Errorf("%w: Spawn(%q)", ErrNoHub, o.name))
	}
	return spawn(ctx, h, fn, o)
}

// stillborn returns a coroutine that could not be started.
func stillborn(err error) *Coroutine {
	c := &Coroutine{err: err}
	c.end.over.Store(true)
	return c
}

func spawn(ctx context.Context, h *Hub, fn func(ctx context.Context) error, o options) *Coroutine {
	if h.over.Load() {
		return stillborn(fmt.Errorf("%w: %v: Spawn(%q)", ErrHubEnded, h, o.name))
	}
	c := &Coroutine{fn: fn}
	parent := ctx
	if st, ok := strand.Named(ctx).Turn().(*seat); ok && st.c != nil && st.s.Context() == ctx && st.h == h {
		parent = st.c.ctx.Parent()
	}
	c.ctx.Init(parent)
	c.ctx.Bind(strand.Named(ctx), time.Time{})
	c.c, c.delay = c, o.delay
	c.base = parent == context.Context(&h.ctx)
	h.Spawn(strand.Make(&c.ctx, strand.Options{Kind: strand.Coroutine, Name: o.name, Scheduler: h, Turn: &c.seat}), nil)
	return c
}

// begin reports whether the function is to be called: not if the coroutine was
// killed before.
func (c *Coroutine) begin() bool {
	if c.killed.Load() {
		c.err = strand.Err(&c.ctx)
		return false
	}
	return true
}

// finish settles the coroutine, whose function has returned, and tells those who
// wait for it.
func (c *Coroutine) finish() {
	ctx := c.s.Context()
	if unlock() && c.err == nil {
		c.err = fmt.Errorf("%w: %v returned so", ErrThreadLocked, c)
	}
	if fam := c.h.trunk.cur.fam; fam != nil {
		if left := fam.closeAll(0); left != nil {
			tristrand.Report(ctx, fmt.Errorf("%v: %w", c, left))
		}
	}
	c.ctx.End(context.Canceled)
	told := c.end.end(func(v any) {
		tristrand.Report(ctx, fmt.Errorf("coro: a function given to OnDone of %v: %w", c, panicked(v)))
	})
	if c.err != nil && !told && !errors.Is(c.err, ErrKilled) {
		c.h.failed(ctx, c)
	}
}

func panicked(v any) error {
	if err, ok := v.(error); ok && errors.Is(err, tristrand.ErrGoexit) {
		return err
	}
	return &tristrand.PanicError{Value: v, Stack: debug.Stack()}
}

// Join waits until the coroutine has ended and returns its error; a panic is a
// *tristrand.PanicError. When ctx ends first it returns ctx's error. A coroutine
// that joins itself gets a *tristrand.DeadlockError.
func (c *Coroutine) Join(ctx context.Context) error {
	s := strand.Enter(ctx, strand.Op{Verb: "join", On: c})
	if err := c.end.wait(ctx, s, c); err != nil {
		return err
	}
	return c.err
}

// Kill makes the coroutine's ctx end, with ErrKilled and cause, and does not wait.
// One that has not started never runs. One that waits under its ctx, or one
// derived from it, goes on with that error at its next turn; any other is told at
// its next blocking call. It returns false if the coroutine had ended.
func (c *Coroutine) Kill(cause error) bool {
	if c.Ended() {
		return false
	}
	err := ErrKilled
	if cause != nil && !errors.Is(cause, ErrKilled) {
		err = &causedError{cause}
	} else if cause != nil {
		err = cause
	}
	c.killed.Store(true)
	h := c.h
	do := func() {
		if c.Ended() {
			return
		}
		c.ctx.End(err)
		if t := c.later; t != nil && t.done.CompareAndSwap(false, true) {
			h.timers.remove(t)
			h.ready.push(entry{s: &c.seat})
		}
		c.s.OwnEnded()
	}
	if h.here() {
		do()
		return true
	}
	return h.post(entry{do: do})
}

// A causedError is ErrKilled with a cause.
type causedError struct{ cause error }

func (e *causedError) Error() string   { return ErrKilled.Error() + ": " + e.cause.Error() }
func (e *causedError) Unwrap() []error { return []error{ErrKilled, e.cause} }

// Ended reports whether the coroutine has ended.
func (c *Coroutine) Ended() bool { return c.end.ended() }

// Err returns what Join would, nil while the coroutine goes on.
func (c *Coroutine) Err() error {
	if !c.Ended() {
		return nil
	}
	c.end.tell()
	return c.err
}

// Failed reports whether it has ended with an error.
func (c *Coroutine) Failed() bool { return c.Ended() && c.err != nil }

// Done returns a channel that is closed when the coroutine has ended; in a hub use
// Join.
func (c *Coroutine) Done() <-chan struct{} { return c.end.channel() }

// Watch grants w when the coroutine has ended, at once if it has.
func (c *Coroutine) Watch(w strand.Wait) (stop func()) {
	c.end.tell()
	return c.end.watch(w)
}

// OnDone has fn called when the coroutine has ended, on its own turn, in the order
// added; at once if it has ended. fn must not wait. A panic of fn is reported and
// keeps no other from being called.
func (c *Coroutine) OnDone(fn func(c *Coroutine)) {
	if !c.end.call(&callback{func() { fn(c) }}) {
		fn(c)
	}
}

// Strand returns the coroutine's strand; nil if it could not be started.
func (c *Coroutine) Strand() *strand.Strand { return c.s }

// Name returns the coroutine's name.
func (c *Coroutine) Name() string {
	if c.s == nil {
		return "none"
	}
	return c.s.Name()
}

// String names it for errors.
func (c *Coroutine) String() string { return fmt.Sprintf("coroutine %q", c.Name()) }

// Releasers returns the coroutine itself: its end ends a Join.
func (c *Coroutine) Releasers(buf []strand.Releaser) ([]strand.Releaser, bool) {
	if c.Ended() || c.s == nil {
		return buf, false
	}
	return append(buf, strand.Releaser{Ref: c.s.Ref()}), true
}

// An ending is something that ends once, and those who wait for it.
type ending struct {
	mu    sync.Mutex  // guards the rest
	over  atomic.Bool // set with mu held
	one   bool        // first is somebody's
	told  bool        // somebody has asked how it ended
	first strand.Wait // the usual one
	more  *links      // nil until there is more than one, a callback or a channel
}

type links struct {
	waits []strand.Wait
	done  chan struct{}
	calls []*callback
}

// A callback is a function to call at an end. Its address tells it apart.
type callback struct{ f func() }

func (e *ending) ended() bool { return e.over.Load() }

// tell notes that somebody knows how it ended, or will, and reports whether anybody
// did before.
func (e *ending) tell() (before bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	before, e.told = e.told, true
	return before
}

// links returns e.more, made by the first call. The caller holds mu.
func (e *ending) links() *links {
	if e.more == nil {
		e.more = new(links)
	}
	return e.more
}

// end tells everybody, and reports whether there was anybody who waits. What a
// callback panics with goes to failed.
func (e *ending) end(failed func(v any)) bool {
	e.mu.Lock()
	e.over.Store(true)
	more, first, one := e.more, e.first, e.one
	e.more, e.one = nil, false
	e.mu.Unlock()
	if one {
		first.Grant()
	}
	if more == nil {
		return one
	}
	for _, w := range more.waits {
		w.Grant()
	}
	if more.done != nil {
		close(more.done)
	}
	runAll(more.calls, failed)
	return one || len(more.waits) > 0
}

// runAll calls all of calls, whatever one of them does.
func runAll(calls []*callback, failed func(v any)) {
	for i, call := range calls {
		func() {
			returned := false
			defer func() {
				if returned {
					return
				}
				v := recover()
				if v != nil {
					failed(v)
					return
				}
				failed(tristrand.ErrGoexit)
				runAll(calls[i+1:], failed) // this goroutine ends
			}()
			call.f()
			returned = true
		}()
	}
}

func (e *ending) wait(ctx context.Context, s *strand.Strand, on strand.Resource) error {
	e.mu.Lock()
	before := e.told
	if e.over.Load() {
		e.told = true
		e.mu.Unlock()
		return nil
	}
	if ctx.Err() != nil {
		e.mu.Unlock()
		return strand.Err(ctx)
	}
	w := s.NewWait()
	e.told = true
	e.add(w)
	e.mu.Unlock()
	err := w.Park(ctx, on)
	if err == nil || !e.forget(w, before) {
		return nil
	}
	return err
}

func (e *ending) watch(w strand.Wait) (stop func()) {
	e.mu.Lock()
	if e.over.Load() {
		e.mu.Unlock()
		w.Grant()
		return func() {}
	}
	e.add(w)
	e.mu.Unlock()
	return func() { e.forget(w, true) }
}

// add keeps w. The caller holds mu.
func (e *ending) add(w strand.Wait) {
	if e.one {
		l := e.links()
		l.waits = append(l.waits, w)
		return
	}
	e.first, e.one = w, true
}

// forget takes w out, after which it counts as told only if it was before. It
// returns false if there has been an end.
func (e *ending) forget(w strand.Wait, before bool) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.over.Load() {
		return false
	}
	e.told = before
	if e.one && e.first == w {
		e.one = false
	}
	if e.more != nil {
		if i := slices.Index(e.more.waits, w); i >= 0 {
			e.more.waits = slices.Delete(e.more.waits, i, i+1)
		}
	}
	return true
}

// call adds a callback; false if it has ended.
func (e *ending) call(f *callback) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.over.Load() {
		return false
	}
	l := e.links()
	l.calls = append(l.calls, f)
	return true
}

// uncall takes a callback out.
func (e *ending) uncall(f *callback) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.more == nil {
		return
	}
	if i := slices.Index(e.more.calls, f); i >= 0 {
		e.more.calls = slices.Delete(e.more.calls, i, i+1)
	}
}

func (e *ending) channel() <-chan struct{} {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.over.Load() {
		c := make(chan struct{})
		close(c)
		return c
	}
	l := e.links()
	if l.done == nil {
		l.done = make(chan struct{})
	}
	return l.done
}
