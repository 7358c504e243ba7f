package coro_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/coro"
	"github.com/tristrand/tristrand/local"
	"github.com/tristrand/tristrand/thread"
)

// What is going to end a wait from outside is seen, so that the wait lasts until it
// does, however soon the hub looks for deadlocks.
func TestWhoMayEndAWaitFromOutside(t *testing.T) {
	const later = 100 * time.Millisecond // and the hub looks after 1 ms, 2 ms, 4 ms …
	for name, arrange := range map[string]func(ctx context.Context, e *local.Event) (context.Context, func()){
		"a thread's timer": func(ctx context.Context, e *local.Event) (context.Context, func()) {
			timer := thread.AfterFunc(ctx, later, e.Set)
			return ctx, func() { _ = timer.Join(ctx) }
		},
		"a goroutine that sleeps": func(ctx context.Context, e *local.Event) (context.Context, func()) {
			go func() {
				time.Sleep(later)
				_ = e.Set(context.WithoutCancel(ctx))
			}()
			return ctx, func() {}
		},
		"a context's deadline": func(ctx context.Context, _ *local.Event) (context.Context, func()) {
			return context.WithTimeout(ctx, later)
		},
		"a hub": func(ctx context.Context, e *local.Event) (context.Context, func()) {
			other := thread.Start(ctx, "other", func(ctx context.Context) error {
				return coro.Run(ctx, func(ctx context.Context) error {
					return errors.Join(coro.Sleep(ctx, later), e.Set(ctx))
				})
			})
			return ctx, func() { _ = other.Join(ctx) }
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := &coro.Hub{DeadlockAfter: time.Millisecond}
			err := h.Run(t.Context(), func(ctx context.Context) error {
				e := new(local.Event)
				inner, wait := arrange(ctx, e)
				err := e.Wait(inner)
				if errors.Is(err, context.DeadlineExceeded) {
					err = nil
				}
				wait()
				return err
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
}

func TestDeadlockAfterBelowZeroIsNever(t *testing.T) {
	var set atomic.Bool
	h := &coro.Hub{DeadlockAfter: -1}
	err := h.Run(t.Context(), func(ctx context.Context) error {
		e := new(local.Event)
		time.AfterFunc(1200*time.Millisecond, func() { // longer than the default
			set.Store(true)
			_ = e.Set(context.WithoutCancel(ctx))
		})
		return e.Wait(ctx)
	})
	if err != nil || !set.Load() {
		t.Errorf("got %v, event set: %v", err, set.Load())
	}
}

func TestDeadlocksOfASet(t *testing.T) {
	s := coro.Hubs(1)
	s.DeadlockAfter = time.Millisecond
	err := s.Run(t.Context(), func(ctx context.Context, _ int) error { return new(local.Event).Wait(ctx) })
	if d := new(tristrand.DeadlockError); !errors.As(err, &d) {
		t.Error(err)
	}
}
