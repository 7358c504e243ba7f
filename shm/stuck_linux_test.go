package shm_test

import (
	"context"
	"testing"
	"time"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/shm"
)

// Who is stopped in the middle of an operation on a queue or a value keeps nobody
// longer than their time, and those who would not wait at all not for ever. It does
// not matter that several of one process come.
func TestAnObjectThatSomebodyIsStoppedIn(t *testing.T) {
	t.Parallel()
	q, v := must(shm.NewQueue[int]("q", 0)), must(shm.NewValue("v", 1))
	sem, bar := must(shm.NewSemaphore("s", 1)), must(shm.NewBarrier("b", 2))
	ctx := t.Context()
	held, over := make(chan struct{}, 4), make(chan struct{})
	wait := func() { held <- struct{}{}; <-over }
	for _, hold := range []func(func()){q.Hold, v.Hold, sem.Hold, bar.Hold} {
		go hold(wait)
	}
	for range 4 {
		<-held
	}
	type op struct {
		name string
		do   func(ctx context.Context) error
		want error
	}
	ops := []op{
		{"Put", func(ctx context.Context) error { return q.Put(ctx, 1) }, context.DeadlineExceeded},
		{"Get", func(ctx context.Context) error { _, err := q.Get(ctx); return err }, context.DeadlineExceeded},
		{"Join", q.Join, context.DeadlineExceeded},
		{"TryPut", func(ctx context.Context) error { return q.TryPut(ctx, 1) }, tristrand.ErrBusy},
		{"TryGet", func(ctx context.Context) error { _, err := q.TryGet(ctx); return err }, tristrand.ErrBusy},
		{"TaskDone", q.TaskDone, tristrand.ErrBusy},
		{"Shutdown", func(ctx context.Context) error { return q.Shutdown(ctx, tristrand.Drain) }, tristrand.ErrBusy},
		{"State", func(ctx context.Context) error { _, err := q.State(ctx); return err }, tristrand.ErrBusy},
		{"Load", func(ctx context.Context) error { _, err := v.Load(ctx); return err }, context.DeadlineExceeded},
		{"Store", func(ctx context.Context) error { return v.Store(ctx, 2) }, context.DeadlineExceeded},
		{"Acquire", sem.Acquire, context.DeadlineExceeded},
		{"TryAcquire", sem.TryAcquire, tristrand.ErrBusy},
		{"Release", func(ctx context.Context) error { return sem.Release(ctx, 1) }, tristrand.ErrBusy},
		{"Abort", bar.Abort, tristrand.ErrBusy},
		{"Reset", bar.Reset, tristrand.ErrBusy},
	}
	type answer struct {
		op
		err error
	}
	answers := make(chan answer)
	for _, o := range ops {
		go func() {
			short, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
			defer cancel()
			answers <- answer{o, o.do(short)}
		}()
	}
	for range ops {
		select {
		case a := <-answers:
			is(t, a.err, a.want, a.name)
		case <-time.After(60 * time.Second):
			t.Fatal("some do not come back")
		}
	}
	close(over)
	if err := q.Put(ctx, 7); err != nil {
		t.Error(err)
	}
	if got, err := q.Get(ctx); got != 7 || err != nil {
		t.Error(got, err)
	}
	if err := v.Store(ctx, 3); err != nil {
		t.Error(err)
	}
	if err := sem.TryAcquire(ctx); err != nil {
		t.Error(err)
	}
	for _, c := range []interface{ Close() error }{q, v, sem, bar} {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
}
