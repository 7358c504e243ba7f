package manager_test

import (
	"context"
	"strconv"
	"testing"

	"github.com/tristrand/tristrand/manager"
	"github.com/tristrand/tristrand/strand"
)

// Client and server are in one process, which is what profiles are for; the rows
// of bench have them apart.
func BenchmarkCalls(b *testing.B) {
	ctx, end := strand.Adopt(b.Context(), "main")
	defer end()
	c := dial(b, serve(b, &manager.Server{AuthKey: testKey}, b.TempDir()+"/s").String())
	d, err := manager.NewDict[string, int](ctx, c)
	if err != nil {
		b.Fatal(err)
	}
	l, err := manager.NewLock(ctx, c)
	if err != nil {
		b.Fatal(err)
	}
	if err := d.Set(ctx, "a key of some length", 1); err != nil {
		b.Fatal(err)
	}
	for name, call := range map[string]func() error{
		"set":  func() error { return d.Set(ctx, "a key of some length", 1) },
		"get":  func() error { _, _, err := d.Get(ctx, "a key of some length"); return err },
		"lock": func() error { return firstOf(l.Acquire(ctx), l.Release(ctx)) },
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := call(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// Many strands share one client's connection.
func BenchmarkShared(b *testing.B) {
	ctx, end := strand.Adopt(b.Context(), "main")
	defer end()
	c := dial(b, serve(b, &manager.Server{AuthKey: testKey}, b.TempDir()+"/s").String())
	d, err := manager.NewDict[string, int](ctx, c)
	if err != nil {
		b.Fatal(err)
	}
	for _, n := range []int{1, 2, 8} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			done := make(chan error, n)
			for range n {
				strand.Go(ctx, strand.Options{Kind: strand.Thread}, func(ctx context.Context) {
					var err error
					for range b.N / n {
						err = firstOf(err, d.Set(ctx, "key", 1))
					}
					done <- err
				})
			}
			for range n {
				if err := <-done; err != nil {
					b.Error(err)
				}
			}
		})
	}
}

func firstOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
