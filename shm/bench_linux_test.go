package shm_test

import (
	"context"
	"sync"
	"testing"

	"github.com/tristrand/tristrand/local"
	"github.com/tristrand/tristrand/shm"
	"github.com/tristrand/tristrand/strand"
)

func BenchmarkUncontended(b *testing.B) {
	b.Run("lock=sync", func(b *testing.B) {
		var mu sync.Mutex
		for b.Loop() {
			mu.Lock()
			mu.Unlock() //nolint:staticcheck // nothing is guarded
		}
	})
	b.Run("lock=local", func(b *testing.B) {
		ctx, end := strand.Adopt(context.Background(), "bench")
		defer end()
		var l local.Lock
		for b.Loop() {
			_ = l.Acquire(ctx)
			_ = l.Release(ctx)
		}
	})
	b.Run("lock=shm", func(b *testing.B) {
		ctx, end := strand.Adopt(context.Background(), "bench")
		defer end()
		l := must(shm.NewLock("bench"))
		b.ReportAllocs()
		for b.Loop() {
			if l.Acquire(ctx) != nil || l.Release(ctx) != nil {
				b.Fatal("failed")
			}
		}
	})
	b.Run("lock=shm.Semaphore", func(b *testing.B) {
		ctx, end := strand.Adopt(context.Background(), "bench")
		defer end()
		l := must(shm.NewSemaphore("bench", 1))
		b.ReportAllocs()
		for b.Loop() {
			if l.Acquire(ctx) != nil || l.Release(ctx, 1) != nil {
				b.Fatal("failed")
			}
		}
	})
}
