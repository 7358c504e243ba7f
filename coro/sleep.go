package coro

import (
	"context"
	"fmt"
	"time"

	"github.com/tristrand/tristrand/internal/gtoken"
	"github.com/tristrand/tristrand/strand"
)

// Sleep waits for d, or until ctx ends, whose error it returns then. With d ≤ 0 it
// hands the hub over: every coroutine that is ready runs before the caller does
// again. Outside a hub it blocks the caller as strand.Sleep does.
func Sleep(ctx context.Context, d time.Duration) error {
	h, st := caller(ctx)
	switch {
	case h == nil || h.outer != nil:
		return strand.Sleep(ctx, d)
	case d <= 0:
		return h.yield(ctx, st)
	case ctx.Err() != nil:
		return strand.Err(ctx)
	}
	// What strand.Sleep does, with less stack and no allocation: very many may
	// sleep, and each should need no more stack than the least that there is.
	t := &st.alarm
	t.w = st.s.NewWait()
	h.timers.set(t, d)
	err := t.w.Park(ctx, sleeping{})
	h.timers.remove(t)
	return err
}

// yield hands the turn over.
//
//go:noinline
func (h *Hub) yield(ctx context.Context, st *seat) error {
	if gtoken.Locked() {
		return ErrThreadLocked // nobody could go on meanwhile
	}
	h.Step(st.s, strand.Op{Verb: "yield"})
	return strand.Err(ctx)
}

// sleeping is what a sleeper waits for: nobody ends it but the clock.
type sleeping struct{}

func (sleeping) String() string { return "sleep" }

func (sleeping) Releasers(buf []strand.Releaser) ([]strand.Releaser, bool) { return buf, false }

// A TimeoutError says that the time of a Timeout was up. It is also
// context.DeadlineExceeded; of nested ones each is told apart from the others by
// its own Is.
type TimeoutError struct {
	After time.Duration
}

func (e *TimeoutError) Error() string { return fmt.Sprintf("coro: the time of %v was up", e.After) }

// Is reports whether target is this time-out, or context.DeadlineExceeded.
func (e *TimeoutError) Is(target error) bool {
	return target == error(e) || target == context.DeadlineExceeded
}

// Timeout calls fn with a ctx that ends after d, with a *TimeoutError, and returns
// fn's error. fired reports whether that error is this call's own time-out, and not
// one from outside or inside. Code that makes no blocking calls is not
// interrupted. With d ≤ 0 the ctx has ended when fn is called.
func Timeout(ctx context.Context, d time.Duration, fn func(ctx context.Context) error) (fired bool, err error) {
	if fn == nil {
		panic("coro: Timeout: the function is nil")
	}
	c := new(strand.Context)
	c.Init(ctx)
	s := strand.Current(ctx)
	c.Bind(s, time.Now().Add(d))
	mine := &TimeoutError{After: d}
	if d <= 0 {
		c.End(mine)
	} else {
		stop := s.After(d, func() { c.End(mine) })
		defer stop()
	}
	defer c.End(context.Canceled)
	err = fn(c)
	return isOwn(err, mine), err
}

// isOwn reports whether err is, or wraps, mine itself.
func isOwn(err error, mine *TimeoutError) bool {
	switch e := err.(type) { //nolint:errorlint // it is errors.As for one value
	case nil:
		return false
	case *TimeoutError:
		return e == mine
	case interface{ Unwrap() error }:
		return isOwn(e.Unwrap(), mine)
	case interface{ Unwrap() []error }:
		for _, x := range e.Unwrap() {
			if isOwn(x, mine) {
				return true
			}
		}
	}
	return false
}
