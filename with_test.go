package tristrand_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/local"
	"github.com/tristrand/tristrand/strand"
)

// holder returns who holds the lock, nil if nobody does.
func holder(t *testing.T, l tristrand.Locker) *tristrand.Holder {
	t.Helper()
	st, err := l.State(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return st.Holder
}

// here returns "file.go:line" of its caller, n lines on.
func here(n int) string {
	_, file, line, _ := runtime.Caller(1)
	return fmt.Sprintf("%s:%d", file[strings.LastIndex(file, "/")+1:], line+n)
}

func TestWith(t *testing.T) {
	l := new(local.Lock)
	t.Run("holds the lock, acquired where With was called", func(t *testing.T) {
		ctx := asStrand(t)
		want := here(1)
		err := tristrand.With(ctx, l, func(ctx context.Context) error {
			h := holder(t, l)
			if h == nil || !strings.HasSuffix(h.At, want) {
				t.Errorf("held by %+v, want at %s", h, want)
			}
			return errOwn
		})
		if !errors.Is(err, errOwn) || holder(t, l) != nil {
			t.Errorf("With returns %v; afterwards held by %+v", err, holder(t, l))
		}
	})
	t.Run("joins the error of Release", func(t *testing.T) {
		ctx := asStrand(t)
		err := tristrand.With(ctx, l, func(ctx context.Context) error {
			return errors.Join(errOwn, l.Release(ctx))
		})
		if !errors.Is(err, errOwn) || !errors.Is(err, tristrand.ErrNotHeld) {
			t.Errorf("With returns %v", err)
		}
	})
	t.Run("releases after a panic", func(t *testing.T) {
		ctx := asStrand(t)
		v := panics(func() { _ = tristrand.With(ctx, l, func(context.Context) error { panic("out") }) })
		if v != "out" || holder(t, l) != nil {
			t.Errorf("recovered %v, held by %+v", v, holder(t, l))
		}
	})
	t.Run("releases after Goexit", func(t *testing.T) {
		ctx := asStrand(t)
		done := make(chan struct{})
		strand.Go(ctx, strand.Options{Kind: strand.Thread}, func(ctx context.Context) {
			defer close(done)
			_ = tristrand.With(ctx, l, func(context.Context) error { runtime.Goexit(); return nil })
		})
		<-done
		if holder(t, l) != nil {
			t.Errorf("held by %+v", holder(t, l))
		}
	})
	t.Run("does not call when it cannot acquire, and leaves no place behind", func(t *testing.T) {
		ctx := asStrand(t)
		ended, cancel := context.WithCancel(ctx)
		cancel()
		err := tristrand.With(ended, l, func(context.Context) error { t.Error("called"); return nil })
		if !errors.Is(err, context.Canceled) {
			t.Errorf("With returns %v", err)
		}
		want := here(1)
		if err := l.Acquire(ctx); err != nil {
			t.Fatal(err)
		}
		if h := holder(t, l); !strings.HasSuffix(h.At, want) {
			t.Errorf("the next acquisition is shown at %s, want %s", h.At, want)
		}
		if err := l.Release(ctx); err != nil {
			t.Error(err)
		}
	})
}

// leased is a lock that can be lost.
type leased struct {
	local.Lock
	lose context.CancelCauseFunc
}

func (l *leased) WhileHeld(ctx context.Context) (context.Context, context.CancelFunc) {
	inner, cancel := context.WithCancelCause(ctx)
	l.lose = cancel
	return inner, func() { cancel(nil) }
}

func TestWithLease(t *testing.T) {
	ctx := asStrand(t)
	l := new(leased)
	var after context.Context
	err := tristrand.With(ctx, l, func(inner context.Context) error {
		after = inner
		l.lose(tristrand.ErrLost)
		<-inner.Done()
		return context.Cause(inner)
	})
	if !errors.Is(err, tristrand.ErrLost) || ctx.Err() != nil {
		t.Errorf("With returns %v; the caller's ctx: %v", err, ctx.Err())
	}
	if err := tristrand.With(ctx, l, func(inner context.Context) error { after = inner; return inner.Err() }); err != nil {
		t.Error(err)
	}
	if after.Err() == nil {
		t.Error("the inner ctx goes on after With")
	}
}

func TestWaitFor(t *testing.T) {
	ctx := asStrand(t)
	c := local.NewCondition(nil)
	ready := 0
	done := make(chan error, 1)
	strand.Go(ctx, strand.Options{Kind: strand.Thread}, func(ctx context.Context) {
		done <- tristrand.With(ctx, c.Locker(), func(ctx context.Context) error {
			return tristrand.WaitFor(ctx, c, func() bool { return ready == 2 })
		})
	})
	for want := 1; want <= 2; want++ {
		eventually(t, "the wait", func() bool { st, err := c.State(ctx); return err == nil && st.Waiting == 1 })
		err := tristrand.With(ctx, c.Locker(), func(ctx context.Context) error {
			ready = want
			return c.Notify(ctx, 1)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	if err := tristrand.WaitFor(ctx, c, func() bool { return false }); !errors.Is(err, tristrand.ErrNotHeld) {
		t.Errorf("WaitFor without the lock gives %v", err)
	}
	ended, cancel := context.WithCancel(ctx)
	cancel()
	err := tristrand.With(ctx, c.Locker(), func(context.Context) error {
		return tristrand.WaitFor(ended, c, func() bool { return false })
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("WaitFor under a ctx that has ended gives %v", err)
	}
}
