package tristrand_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/tristrand/tristrand"
)

func TestDefineRefuses(t *testing.T) {
	fn := func(context.Context, int) (int, error) { return 0, nil }
	tests := []struct {
		name string
		do   func()
		want string
	}{
		{"an empty name", func() { tristrand.Define("", fn) }, "the name is empty"},
		{"a nil function", func() { tristrand.Define[int, int]("test.nil", nil) }, "the function is nil"},
		{"a name that is taken", func() { tristrand.Define("test.square", fn) }, `"test.square"`},
		{"a name taken by another type", func() {
			tristrand.Define("test.square", func(context.Context, string) (bool, error) { return true, nil })
		}, "defined already"},
		{"a nil closure", func() { tristrand.Func[int, int](nil) }, "Func: the function is nil"},
		{"Go of nil", func() { tristrand.Go[int](t.Context(), nil, nil) }, "Go: the function is nil"},
		{"Detach of nil", func() { _ = tristrand.Detach(t.Context(), nil, nil) }, "Detach: the function is nil"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if text, _ := panics(tt.do).(string); !strings.Contains(text, tt.want) || !strings.HasPrefix(text, "tristrand: ") {
				t.Errorf("it panics with %q, want %q", text, tt.want)
			}
		})
	}
	if _, ok := tristrand.Lookup("test.nil"); ok {
		t.Error("a task that was refused is defined")
	}
}

func TestLookup(t *testing.T) {
	h, ok := tristrand.Lookup("test.square")
	if !ok || square.Name() != "test.square" {
		t.Fatalf("the task %q is not found", square.Name())
	}
	in, ok := h.NewInput().(*int)
	if !ok {
		t.Fatalf("NewInput gives %T", h.NewInput())
	}
	*in = 7
	out, err := h.Call(t.Context(), in)
	if p, ok := out.(*int); !ok || *p != 49 || err != nil {
		t.Errorf("Call gives %v, %v", out, err)
	}
	if _, err := h.Call(t.Context(), "seven"); err == nil || !strings.Contains(err.Error(), "test.square") {
		t.Errorf("Call with a wrong type gives %v", err)
	}
	if _, ok := tristrand.Lookup("test.unknown"); ok {
		t.Error("an unknown task is found")
	}
}

func TestNoExecutor(t *testing.T) {
	ctx := t.Context()
	if _, err := square.Call(ctx, nil, 1); err == nil || !strings.Contains(err.Error(), "nil") {
		t.Errorf("Call gives %v", err)
	}
	if err := tristrand.Detach(ctx, nil, func(context.Context) error { return nil }); err == nil {
		t.Error("Detach gives no error")
	}
	n := 0
	for _, err := range square.Map(ctx, nil, func(yield func(int) bool) { _ = yield(1) && yield(2) }) {
		if n++; err == nil {
			t.Error("an item of Map has no error")
		}
	}
	if n != 2 {
		t.Errorf("Map yields %d items of 2", n)
	}
}

func TestDetach(t *testing.T) {
	told := reports(t)
	pool := newPool(t, 1, 4)
	ctx := asStrand(t)
	ran := make(chan context.Context, 1)
	if err := tristrand.Detach(ctx, pool, func(ctx context.Context) error { ran <- ctx; return nil }); err != nil {
		t.Fatal(err)
	}
	inner := <-ran
	if _, bounded := inner.Deadline(); bounded || inner.Err() != nil {
		t.Error("the ctx of a detached function is bounded or has ended")
	}
	for _, fn := range []func(context.Context) error{
		func(context.Context) error { return errOwn },
		func(context.Context) error { panic(errOwn) },
	} {
		if err := tristrand.Detach(ctx, pool, fn); err != nil {
			t.Fatal(err)
		}
	}
	if err := pool.Close(ctx); err != nil {
		t.Fatal(err)
	}
	all := told()
	if len(all) != 2 || !errors.Is(all[0], errOwn) || !errors.Is(all[1], errOwn) {
		t.Errorf("reported: %v, want two errors", all)
	}
	if err := tristrand.Detach(ctx, pool, func(context.Context) error { return nil }); !errors.Is(err, tristrand.ErrClosed) {
		t.Errorf("Detach to a closed pool gives %v", err)
	}
	ended, cancel := context.WithCancel(ctx)
	cancel()
	if err := tristrand.Detach(ended, pool, func(context.Context) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("Detach under a ctx that has ended gives %v", err)
	}
}
