package coro_test

import (
	"context"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/tristrand/tristrand/coro"
)

// TestMemoryOfSleepers compares very many sleeping coroutines with as many
// goroutines in time.Sleep.
func TestMemoryOfSleepers(t *testing.T) {
	if racing || testing.Short() {
		t.Skip("it says nothing with the race detector")
	}
	const n = 100_000
	used := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapInuse + m.StackInuse
	}
	before := used()
	var ours uint64
	err := coro.Run(t.Context(), func(ctx context.Context) error {
		all := make([]*coro.Coroutine, n)
		for i := range all {
			all[i] = coro.Spawn(ctx, func(ctx context.Context) error { return coro.Sleep(ctx, time.Hour) })
		}
		if err := coro.Sleep(ctx, 0); err != nil {
			return err
		}
		ours = used() - before
		for _, c := range all {
			c.Kill(nil)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	runtime.GC()
	before = used()
	var wg sync.WaitGroup
	asleep := 3 * time.Second // long enough to be measured, short enough to be waited for
	for range n {
		wg.Go(func() { time.Sleep(asleep) })
	}
	theirs := used() - before
	wg.Wait()
	t.Logf("a coroutine %d bytes, a goroutine %d bytes", ours/n, theirs/n)
	// The stack of a sleeper is the least that there is; twice that would show.
	if ours/n > theirs/n*3/2 {
		t.Errorf("a coroutine takes %d bytes, a goroutine %d", ours/n, theirs/n)
	}
}
