package tristrand_test

import (
	"context"
	"testing"

	"github.com/tristrand/tristrand"
)

func TestAllocations(t *testing.T) {
	if racing {
		t.Skip("the race detector allocates")
	}
	ctx := asStrand(t)
	pool := newPool(t, 2, 0)
	nothing := tristrand.Define("test.nothing", func(context.Context, struct{}) (struct{}, error) { return struct{}{}, nil })
	empty := func(context.Context) error { return nil }
	tests := []struct {
		name string
		most float64
		do   func() error
	}{
		{"Submit and Result", 4, func() error {
			_, err := nothing.Submit(ctx, pool, struct{}{}).Result(ctx)
			return err
		}},
		{"Submit alone", 2, func() error {
			nothing.Submit(ctx, pool, struct{}{})
			return nil
		}},
		{"Detach", 2, func() error { return tristrand.Detach(ctx, pool, empty) }},
		{"Result of what is done", 0, func() func() error {
			f := nothing.Submit(ctx, pool, struct{}{})
			return func() error { _, err := f.Result(ctx); return err }
		}()},
	}
	for _, tt := range tests {
		if err := tt.do(); err != nil { // starts what there is to start
			t.Fatalf("%s: %v", tt.name, err)
		}
		got := testing.AllocsPerRun(2000, func() {
			if err := tt.do(); err != nil {
				t.Errorf("%s: %v", tt.name, err)
			}
		})
		if got > tt.most {
			t.Errorf("%s: %v allocations, want at most %v", tt.name, got, tt.most)
		}
	}
}
