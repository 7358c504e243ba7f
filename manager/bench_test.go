package manager_test

import (
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

func firstOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
