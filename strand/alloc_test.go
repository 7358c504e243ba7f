package strand_test

import (
	"context"
	"testing"

	"github.com/tristrand/tristrand/local"
	"github.com/tristrand/tristrand/strand"
)

// With a nil scheduler the fast path calls no interface and allocates nothing.
func TestInvariant8TheFastPathAllocatesNothing(t *testing.T) {
	if racing {
		t.Skip("the race detector allocates")
	}
	ctx := adopt(t)
	deep := ctx
	for range 4 {
		var cancel context.CancelFunc
		deep, cancel = context.WithCancel(deep)
		defer cancel()
	}
	lock, rlock, sem, event := new(local.Lock), new(local.RLock), local.NewSemaphore(1), new(local.Event)
	bounded, queue := local.NewBoundedSemaphore(1), local.NewQueue[int](1)
	must := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	must(event.Set(ctx))
	for name, f := range map[string]func(ctx context.Context){
		"Current":                func(ctx context.Context) { strand.Current(ctx) },
		"Enter":                  func(ctx context.Context) { strand.Enter(ctx, strand.Op{Verb: "acquire", On: lock}) },
		"Yield":                  func(ctx context.Context) { must(strand.Yield(ctx)) },
		"NewWait and Cancel":     func(ctx context.Context) { strand.Current(ctx).NewWait().Cancel() },
		"NewWait, Grant, Cancel": func(ctx context.Context) { w := strand.Current(ctx).NewWait(); w.Grant(); w.Cancel() },
		"Lock":                   func(ctx context.Context) { must(lock.Acquire(ctx)); must(lock.Release(ctx)) },
		"Lock, tried":            func(ctx context.Context) { must(lock.TryAcquire(ctx)); must(lock.Release(ctx)) },
		"RLock, nested": func(ctx context.Context) {
			must(rlock.Acquire(ctx))
			must(rlock.Acquire(ctx))
			must(rlock.Release(ctx))
			must(rlock.Release(ctx))
		},
		"Semaphore":        func(ctx context.Context) { must(sem.Acquire(ctx)); must(sem.Release(ctx, 1)) },
		"BoundedSemaphore": func(ctx context.Context) { must(bounded.Acquire(ctx)); must(bounded.Release(ctx, 1)) },
		"Event":            func(ctx context.Context) { must(event.Wait(ctx)) },
		"Queue": func(ctx context.Context) {
			must(queue.Put(ctx, 1))
			_, err := queue.Get(ctx)
			must(err)
		},
	} {
		for depth, ctx := range map[string]context.Context{"its own ctx": ctx, "four contexts deep": deep} {
			if n := testing.AllocsPerRun(100, func() { f(ctx) }); n != 0 {
				t.Errorf("%s with %s allocates %v times", name, depth, n)
			}
		}
	}
	for name, ctx := range map[string]context.Context{"no strand's ctx": context.Background(), "a test's ctx": t.Context()} {
		if n := testing.AllocsPerRun(100, func() { must(lock.Acquire(ctx)); must(lock.Release(ctx)) }); n != 0 {
			t.Errorf("Lock with %s allocates %v times", name, n)
		}
	}
}
