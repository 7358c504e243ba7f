//go:build linux

package processes_test

import (
	"context"
	"reflect"
	"testing"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/process"
	"github.com/tristrand/tristrand/shm"
)

type outlet struct{ Out *shm.Queue[[]any] }

var putThree = tristrand.Define("examples.processes.putThree", func(ctx context.Context, in outlet) (struct{}, error) {
	return struct{}{}, in.Out.Put(ctx, []any{42, nil, "hello"}) // q.put([42, None, "hello"])
})

// P03: what a child puts on a queue is what the parent gets. In an interface, integers
// arrive as int64.
func TestQueue(t *testing.T) {
	ctx := t.Context()
	q, err := shm.NewQueue[[]any]("q", 1)
	if err != nil {
		t.Fatal(err)
	}
	p, err := process.Start(ctx, putThree.Bind(outlet{q}))
	if err != nil {
		t.Fatal(err)
	}
	got, err := q.Get(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if want := []any{int64(42), nil, "hello"}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %#v, want %#v", got, want)
	}
	join(t, p)
}
