package coro_test

import (
	"context"
	"sync"
	"testing"

	"github.com/tristrand/tristrand/coro"
	"github.com/tristrand/tristrand/local"
)

// onHub runs body on a hub, with the time of the hub's start left out.
func onHub(b *testing.B, body func(ctx context.Context) error) {
	b.ReportAllocs()
	err := coro.Run(b.Context(), func(ctx context.Context) error {
		b.ResetTimer()
		defer b.StopTimer()
		return body(ctx)
	})
	if err != nil {
		b.Error(err)
	}
}

func BenchmarkSpawnAndJoin(b *testing.B) {
	b.Run("coro", func(b *testing.B) {
		onHub(b, func(ctx context.Context) error {
			for range b.N {
				if err := coro.Spawn(ctx, func(context.Context) error { return nil }).Join(ctx); err != nil {
					return err
				}
			}
			return nil
		})
	})
	b.Run("goroutine", func(b *testing.B) {
		for range b.N {
			var wg sync.WaitGroup
			wg.Go(func() {})
			wg.Wait()
		}
	})
}

func BenchmarkSleepZero(b *testing.B) {
	onHub(b, func(ctx context.Context) error {
		body := func(ctx context.Context) error {
			for range b.N / 2 {
				if err := coro.Sleep(ctx, 0); err != nil {
					return err
				}
			}
			return nil
		}
		_, err := coro.JoinAll(ctx, []*coro.Coroutine{coro.Spawn(ctx, body), coro.Spawn(ctx, body)})
		return err
	})
}

func BenchmarkQueue(b *testing.B) {
	b.Run("coro", func(b *testing.B) {
		onHub(b, func(ctx context.Context) error {
			q := local.NewQueue[int](1)
			put := coro.Spawn(ctx, func(ctx context.Context) error {
				for i := range b.N {
					if err := q.Put(ctx, i); err != nil {
						return err
					}
				}
				return nil
			})
			for range b.N {
				if _, err := q.Get(ctx); err != nil {
					return err
				}
			}
			return put.Join(ctx)
		})
	})
	b.Run("channel", func(b *testing.B) {
		c := make(chan int)
		go func() {
			for i := range b.N {
				c <- i
			}
			close(c)
		}()
		for range c {
		}
	})
}
