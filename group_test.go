package tristrand_test

import (
	"context"
	"errors"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/strand"
	"github.com/tristrand/tristrand/thread"
)

func TestGroupZeroValue(t *testing.T) {
	inBubble(t, 1, 1, func(ctx context.Context, t *testing.T, _ *thread.Pool) {
		var g tristrand.Group
		if err := g.Wait(ctx); err != nil {
			t.Errorf("Wait of an empty group gives %v", err)
		}
		var inner context.Context
		var ids [3]strand.ID
		var together atomic.Int32
		for i := range ids {
			g.Go(ctx, func(ctx context.Context) error {
				inner = ctx
				ids[i] = strand.Current(ctx).ID()
				together.Add(1)
				for together.Load() < 3 {
					time.Sleep(time.Second)
				}
				return nil
			})
			synctest.Wait()
		}
		if err := g.Wait(ctx); err != nil {
			t.Error(err)
		}
		if ids[0] == 0 || ids[0] == ids[1] || ids[1] == ids[2] {
			t.Errorf("the functions were run by the strands %v", ids)
		}
		if inner.Err() == nil {
			t.Error("the functions' ctx goes on after Wait")
		}
	})
}

func TestGroupFailures(t *testing.T) {
	inBubble(t, 1, 1, func(ctx context.Context, t *testing.T, _ *thread.Pool) {
		tests := []struct {
			name string
			fn   func(context.Context) error
			is   error
		}{
			{"an error", func(context.Context) error { return errOwn }, errOwn},
			{"a panic", func(context.Context) error { panic(errOwn) }, errOwn},
			{"a Goexit", func(context.Context) error { runtime.Goexit(); return nil }, tristrand.ErrGoexit},
		}
		for _, tt := range tests {
			for _, keep := range []bool{false, true} {
				g := tristrand.Group{KeepGoing: keep}
				told := false
				g.Go(ctx, func(ctx context.Context) error {
					select {
					case <-ctx.Done():
						told = errors.Is(context.Cause(ctx), tt.is)
					case <-time.After(time.Second):
					}
					return nil
				})
				synctest.Wait()
				g.Go(ctx, tt.fn)
				if err := g.Wait(ctx); !errors.Is(err, tt.is) || told == keep {
					t.Errorf("%s, KeepGoing %v: Wait gives %v; the others were told: %v", tt.name, keep, err, told)
				}
			}
		}
	})
}

func TestGroupWaitEnds(t *testing.T) {
	inBubble(t, 1, 1, func(ctx context.Context, t *testing.T, _ *thread.Pool) {
		var g tristrand.Group
		gate := make(chan struct{})
		g.Go(ctx, func(ctx context.Context) error { <-ctx.Done(); <-gate; return context.Cause(ctx) })
		short, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		if err := g.Wait(short); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Wait gives %v", err)
		}
		close(gate)
		if err := g.Wait(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Wait again gives %v, want what the function returned", err)
		}
		g.Go(ctx, func(ctx context.Context) error { return ctx.Err() })
		if err := g.Wait(ctx); err != nil {
			t.Errorf("the group's next use gives %v", err)
		}
	})
}

func TestGroupGrowsWhileItIsWaitedFor(t *testing.T) {
	inBubble(t, 2, 8, func(ctx context.Context, t *testing.T, pool *thread.Pool) {
		for _, ex := range []tristrand.Executor{nil, pool} {
			g := tristrand.Group{Executor: ex}
			var n atomic.Int32
			var grow func(depth int) func(context.Context) error
			grow = func(depth int) func(context.Context) error {
				return func(ctx context.Context) error {
					n.Add(1)
					if depth > 0 {
						g.Go(ctx, grow(depth-1))
					}
					return nil
				}
			}
			g.Go(ctx, grow(5))
			if err := g.Wait(ctx); err != nil || n.Load() != 6 {
				t.Errorf("%d functions of 6 ran; Wait gives %v", n.Load(), err)
			}
		}
	})
}

func TestGroupWithClosedExecutor(t *testing.T) {
	ctx := asStrand(t)
	pool := newPool(t, 1, 1)
	if err := pool.Close(ctx); err != nil {
		t.Fatal(err)
	}
	g := tristrand.Group{Executor: pool}
	g.Go(ctx, func(context.Context) error { t.Error("called"); return nil })
	if err := g.Wait(ctx); !errors.Is(err, tristrand.ErrClosed) {
		t.Errorf("Wait gives %v", err)
	}
}
