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
	parent   context.Context
	strand   *Strand
	deadline time.Time
	plain    bool // never ended by itself: a strand's own
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

// Init makes c a child of parent that names s. A deadline that is not zero is
// told by Deadline when it is earlier than the parent's; keeping it is the
// caller's part. It must be called once, before any other use.
func (c *Context) Init(parent context.Context, s *Strand, deadline time.Time) {
	c.parent, c.strand, c.deadline = parent, s, deadline
}

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
	if c.deadline.IsZero() || ok && d.Before(c.deadline) {
		return d, ok
	}
	return c.deadline, true
}

// Err returns nil until the context ends.
func (c *Context) Err() error {
	if !c.over.Load() {
		return c.parent.Err()
	}
	c.mu.Lock()
	err := c.err
	c.mu.Unlock()
	return err
}

// closedChan is what Done returns once the context has ended unwatched.
var closedChan = func() chan struct{} { c := make(chan struct{}); close(c); return c }()

// Done returns a channel that is closed when the context ends; the first call
// makes it.
func (c *Context) Done() <-chan struct{} {
	if c.plain {
		return c.parent.Done()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.done == nil {
		if c.err != nil {
			return closedChan
		}
		c.done = make(chan struct{})
		c.watch()
	}
	return c.done
}

// AfterFunc arranges for f to run in a goroutine of its own when the context
// ends, as context.AfterFunc does, which looks for this method.
func (c *Context) AfterFunc(f func()) (stop func() bool) {
	if c.plain {
		return context.AfterFunc(c.parent, f)
	}
	return c.add(&watcher{f: f})
}

// onEnd runs f once ctx has ended. When ctx and its forebears up to the one
// that ends are all Contexts, f runs on the goroutine that ends it, so that a
// scheduler sees it on its turn; otherwise in a goroutine of its own.
func onEnd(ctx context.Context, f func()) (stop func() bool) {
	c, ok := ctx.(*Context)
	for ok && c.plain {
		ctx = c.parent
		c, ok = ctx.(*Context)
	}
	if !ok {
		return context.AfterFunc(ctx, f)
	}
	return c.add(&watcher{f: f, inline: true})
}

func (c *Context) add(w *watcher) (stop func() bool) {
	c.mu.Lock()
	ended := c.err != nil
	if !ended {
		c.after = append(c.after, w)
		c.watch()
	}
	c.mu.Unlock()
	if ended {
		w.run()
		return func() bool { return false }
	}
	return func() bool { return c.forget(w) }
}

func (w *watcher) run() {
	if w.inline {
		w.f()
	} else {
		go w.f()
	}
}

func (c *Context) forget(w *watcher) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, x := range c.after {
		if x == w {
			last := len(c.after) - 1
			c.after[i] = c.after[last]
			c.after[last] = nil
			c.after = c.after[:last]
			return true
		}
	}
	return false
}

// watch makes the end of the parent this one's. The caller holds mu.
func (c *Context) watch() {
	if c.stop != nil || c.parent.Done() == nil {
		return
	}
	parent := c.parent
	if err := Err(parent); err != nil { // onEnd would call back at once
		c.stop = context.AfterFunc(parent, func() { c.End(err) })
		return
	}
	c.stop = onEnd(parent, func() { c.End(Err(parent)) })
}

// End ends the context with err and reports whether it was the first to do so.
func (c *Context) End(err error) bool {
	c.mu.Lock()
	if c.err != nil {
		c.mu.Unlock()
		return false
	}
	c.err = err
	c.over.Store(true)
	after, stop := c.after, c.stop
	c.after, c.stop = nil, nil
	if c.done != nil {
		close(c.done)
	}
	c.mu.Unlock()
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
