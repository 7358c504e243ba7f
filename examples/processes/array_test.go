//go:build linux

package processes_test

import (
	"context"
	"slices"
	"testing"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/process"
	"github.com/tristrand/tristrand/shm"
)

type element struct {
	Numbers *shm.Array[int64]
	I       int
}

var changeElement = tristrand.Define("examples.processes.changeElement", func(ctx context.Context, e element) (struct{}, error) {
	return struct{}{}, tristrand.With(ctx, e.Numbers.Lock(), func(ctx context.Context) error { // with a.get_lock():
		x, err := e.Numbers.At(e.I)
		if err != nil {
			return err
		}
		return tristrand.With(ctx, e.Numbers.Lock(), func(context.Context) error { // it is an RLock
			return e.Numbers.Set(e.I, x+int64(e.I)*10)
		})
	})
})

// P08: four numbers, each changed by a child; the parent sees it. Length and type are
// fixed.
func TestArray(t *testing.T) {
	ctx := t.Context()
	numbers, err := shm.NewArray[int64](4) // Array("q", 4)
	if err != nil {
		t.Fatal(err)
	}
	for i := range numbers.Len() {
		if err := numbers.Set(i, 1); err != nil {
			t.Fatal(err)
		}
	}
	pool := &process.Pool{Workers: 2}
	var jobs []*tristrand.Future[struct{}]
	for i := range numbers.Len() {
		jobs = append(jobs, changeElement.Submit(ctx, pool, element{numbers, i}))
	}
	for _, j := range jobs {
		if _, err := j.Result(ctx); err != nil {
			t.Error(err)
		}
	}
	var got []int64
	for _, x := range numbers.All() {
		got = append(got, x)
	}
	if want := []int64{1, 11, 21, 31}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}

	refused(t, numbers.Set(4, 1), "4") // IndexError
	_, err = changeElement.Call(ctx, pool, element{numbers, -1})
	refused(t, err, "-1")
	_, err = shm.NewArray[string](4) // numbers.Set(0, "x") does not even compile
	refused(t, err, "string")
	if err := pool.Close(ctx); err != nil {
		t.Error(err)
	}
}
