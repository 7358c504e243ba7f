package local_test

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/tristrand/tristrand/local"
	"github.com/tristrand/tristrand/strand"
)

// nested returns ctx under n contexts with values.
func nested(ctx context.Context, n int) context.Context {
	type key int
	for i := range n {
		if i%2 == 0 {
			ctx = context.WithValue(ctx, key(i), i)
		} else {
			var cancel context.CancelFunc
			ctx, cancel = context.WithCancel(ctx)
			_ = cancel
		}
	}
	return ctx
}

func BenchmarkLockUncontended(b *testing.B) {
	b.Run("impl=sync.Mutex", func(b *testing.B) {
		var mu sync.Mutex
		for b.Loop() {
			mu.Lock()
			mu.Unlock() //nolint:staticcheck // the pair is what is measured
		}
	})
	for _, depth := range []int{0, 4} {
		b.Run(fmt.Sprintf("impl=local.Lock/contexts=%d", depth), func(b *testing.B) {
			ctx, leave := strand.Adopt(b.Context(), "bench")
			defer leave()
			ctx = nested(ctx, depth)
			var l local.Lock
			b.ReportAllocs()
			for b.Loop() {
				if err := l.Acquire(ctx); err != nil {
					b.Fatal(err)
				}
				if err := l.Release(ctx); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkLockContended(b *testing.B) {
	const strands = 8
	b.Run("impl=sync.Mutex", func(b *testing.B) {
		var mu sync.Mutex
		var wg sync.WaitGroup
		n := 0
		for range strands {
			wg.Go(func() {
				for range b.N / strands {
					mu.Lock()
					n++
					mu.Unlock()
				}
			})
		}
		wg.Wait()
	})
	b.Run("impl=local.Lock", func(b *testing.B) {
		var l local.Lock
		var wg sync.WaitGroup
		n := 0
		b.ReportAllocs()
		for range strands {
			wg.Add(1)
			strand.Go(b.Context(), strand.Options{Kind: strand.Thread}, func(ctx context.Context) {
				defer wg.Done()
				for range b.N / strands {
					if err := l.Acquire(ctx); err != nil {
						b.Error(err)
						return
					}
					n++
					if err := l.Release(ctx); err != nil {
						b.Error(err)
						return
					}
				}
			})
		}
		wg.Wait()
	})
}
