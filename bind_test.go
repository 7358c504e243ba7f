package tristrand_test

import (
	"context"
	"errors"
	"testing"

	"github.com/tristrand/tristrand"
)

func TestBind(t *testing.T) {
	ctx := t.Context()
	b := square.Bind(7)
	in, ok := b.Input().(*int)
	if b.Task() != "test.square" || !ok || *in != 7 {
		t.Errorf("it is bound to %q and %v", b.Task(), b.Input())
	}
	h, _ := tristrand.Lookup(b.Task())
	if out, err := h.Call(ctx, b.Input()); err != nil || *out.(*int) != 49 {
		t.Errorf("its handler gives %v, %v", out, err)
	}
	called := 0
	for _, tt := range []struct {
		name string
		do   func() error
		want error
	}{
		{"nil", func() error { return nil }, nil},
		{"an error", func() error { return errOwn }, errOwn},
		{"a panic", func() error { panic(errOwn) }, errOwn},
	} {
		b := tristrand.Func(func(inner context.Context, n int) (string, error) {
			if n != 5 || inner != ctx {
				t.Errorf("it is called with %d", n)
			}
			called++
			return "dropped", tt.do()
		}).Bind(5)
		if err := b.Call(ctx); !errors.Is(err, tt.want) || tt.want == nil && err != nil {
			t.Errorf("Call of what ends by %s gives %v", tt.name, err)
		}
		if b.Task() != "" {
			t.Errorf("a nameless task is called %q", b.Task())
		}
	}
	if called != 3 {
		t.Errorf("called %d times", called)
	}
	var none tristrand.Bound
	if err := none.Call(ctx); err == nil || none.Task() != "" || none.Input() != nil {
		t.Errorf("the zero value gives %v, %q, %v", err, none.Task(), none.Input())
	}
}
