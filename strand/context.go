package strand

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// strandKey is the key under which a context holds its *Context.
type strandKey struct{}

// A Context names a strand and can be ended with an error of its own. Unlike
// context.WithCancelCause it costs nothing until somebody asks for Done: a job
// or a strand embeds one by value.
//
// Its Err is the error that it was ended with, which must match
// context.Canceled or context.DeadlineExceeded.
type Context struct {
	parent context.Context
	strand *Strand
	state  atomic.Pointer[contextState] // nil: it goes on, and nobody watches it
}

// A contextState is what a Context needs once it is watched, ended or bounded.
type contextState struct {
	plain    bool      // never ended by itself: a strand's own
	deadline time.Time // zero: none of its own
	over     atomic.Bool

	mu    sync.Mutex // guards the rest
	err   error
	done  chan struct{}
	stop  func() bool // of the watch on the parent
	after []*watcher
}

// A watcher is told when a Context ends: in a goroutine of its own, or by the
// one that ended it, before End returns.
type watcher struct {
	f      func()
	inline bool
}

var _ context.Context = (*Context)(nil)

// States that Contexts share.
var (
	closedChan    = func() chan struct{} { c := make(chan struct{}); close(c); return c }()
	plainState    = &contextState{plain: true}
	canceledState = newEndedState(context.Canceled)
)

func newEndedState(err error) *contextState {
	st := &contextState{err: err, done: closedChan}
	st.over.Store(true)
	return st
}

// Init makes c a child of parent. It must be called once, before anything else.
func (c *Context) Init(parent context.Context) { c.parent = parent }

// Bind makes c name s. A deadline that is not zero is told by Deadline when it
// is earlier than the parent's; keeping it is the caller's part. It must be
// called once, after Init and before the context is used.
func (c *Context) Bind(s *Strand, deadline time.Time) {
	c.strand = s
	if !deadline.IsZero() {
		c.state.Store(&contextState{deadline: deadline})
	}
}

// Parent returns the context that c is a child of.
func (c *Context) Parent() context.Context { return c.parent }

// Value returns the parent's value, except for the strand's.
func (c *Context) Value(key any) any {
	if _, ok := key.(strandKey); ok {
		return c
	}
	return c.parent.Value(key)
}

// Deadline returns the earlier of its own and the parent's.
func (c *Context) Deadline() (time.Time, bool) {
	d, ok := c.parent.Deadline()
	st := c.state.Load()
	if st == nil || st.deadline.IsZero() || ok && d.Before(st.deadline) {
		return d, ok
	}
	return st.deadline, true
}

// Err returns nil until the context ends.
func (c *Context) Err() error {
	for {
		if st := c.state.Load(); st != nil && st.over.Load() {
			return st.err // not written again
		}
		up, ok := c.parent.(*Context)
		if !ok {
			return c.parent.Err()
		}
		c = up
	}
}

// watched returns the state to watch, made by the first call. A plain context is
// its parent in this respect.
func (c *Context) watched() *contextState {
	if c.strand != nil && c == &c.strand.ctx {
		return plainState
	}
	if st := c.state.Load(); st != nil {
		return st
	}
	c.state.CompareAndSwap(nil, new(contextState))
	return c.state.Load()
}

// Done returns a channel that is closed when the context ends; the first call
// makes it.
func (c *Context) Done() <-chan struct{} {
	st := c.watched()
	if st.plain {
		return c.parent.Done()
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.done == nil {
		if c.watchParent(st); st.err != nil {
			st.done = closedChan
		} else {
			st.done = make(chan struct{})
		}
	}
	return st.done
}

// AfterFunc arranges for f to run in a goroutine of its own when the context
// ends, as context.AfterFunc does, which looks for this method.
func (c *Context) AfterFunc(f func()) (stop func() bool) {
	if c.watched().plain {
		return context.AfterFunc(c.parent, f)
	}
	stop, ended := c.add(&watcher{f: f})
	if ended {
		go f()
	}
	return stop
}

// onEnd runs f once ctx ends, unless it has ended already. When ctx ends with a
// Context, itself or one that it was derived from, f runs on the goroutine that
// ends that one, so that a scheduler sees it on its turn; otherwise in a
// goroutine of its own.
func onEnd(ctx context.Context, f func()) (stop func() bool, ended bool) {
	for {
		c, ok := ctx.(*Context)
		if !ok { // it may only add values to one
			c, ok = ctx.Value(strandKey{}).(*Context)
			ok = ok && c.Done() == ctx.Done()
		}
		switch {
		case !ok:
			return context.AfterFunc(ctx, f), false
		case c.watched().plain:
			ctx = c.parent
		default:
			return c.add(&watcher{f: f, inline: true})
		}
	}
}

// add has w told of the end of c, unless c has ended already.
func (c *Context) add(w *watcher) (stop func() bool, ended bool) {
	st := c.watched()
	st.mu.Lock()
	defer st.mu.Unlock()
	if c.watchParent(st); st.err != nil {
		return func() bool { return false }, true
	}
	st.after = append(st.after, w)
	return func() bool { return st.forget(w) }, false
}

func (w *watcher) run() {
	if w.inline {
		w.f()
	} else {
		go w.f()
	}
}

func (st *contextState) forget(w *watcher) bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	for i, x := range st.after {
		if x == w {
			last := len(st.after) - 1
			st.after[i] = st.after[last]
			st.after[last] = nil
			st.after = st.after[:last]
			return true
		}
	}
	return false
}

// watchParent makes the end of the parent this one's, at once if it has ended.
// The caller holds st.mu.
func (c *Context) watchParent(st *contextState) {
	parent := c.parent
	if st.err != nil || st.stop != nil || parent.Done() == nil {
		return
	}
	ended := parent.Err() != nil
	if !ended {
		st.stop, ended = onEnd(parent, func() { c.End(Err(parent)) })
	}
	if ended {
		st.err, st.stop = Err(parent), nil
		st.over.Store(true)
	}
}

// End ends the context with err and reports whether it was the first to do so.
func (c *Context) End(err error) bool {
	st := c.state.Load()
	if st == nil {
		ended := canceledState
		if err != context.Canceled { //nolint:errorlint // the value itself is shared
			ended = newEndedState(err)
		}
		if c.state.CompareAndSwap(nil, ended) {
			return true
		}
		st = c.state.Load()
	}
	st.mu.Lock()
	if st.err != nil {
		st.mu.Unlock()
		return false
	}
	st.err = err
	st.over.Store(true)
	after, stop := st.after, st.stop
	st.after, st.stop = nil, nil
	if st.done != nil {
		close(st.done)
	}
	st.mu.Unlock()
	if stop != nil {
		stop()
	}
	for _, w := range after {
		w.run()
	}
	return true
}

// Err returns nil while ctx goes on, and afterwards an error that matches
// both ctx.Err and the cause.
func Err(ctx context.Context) error {
	err := ctx.Err()
	if err == nil {
		return nil
	}
	cause := context.Cause(ctx)
	if cause == nil || cause == err { //nolint:errorlint // the same value, not the same meaning
		return err
	}
	return &endedError{err, cause}
}

// An endedError is what a context with a cause ended with.
type endedError struct{ err, cause error }

func (e *endedError) Error() string   { return e.err.Error() + ": " + e.cause.Error() }
func (e *endedError) Unwrap() []error { return []error{e.err, e.cause} }
