//go:build linux

package processes_test

import (
	"context"
	"strings"
	"testing"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/local"
	"github.com/tristrand/tristrand/process"
	"github.com/tristrand/tristrand/shm"
)

type forThreads struct {
	Name  string
	Guard struct{ Lock *local.Lock }
}

type withQueue struct{ Jobs *local.Queue[int] }

type forProcesses struct{ Lock *shm.Lock }

var (
	lockTask  = tristrand.Define("examples.processes.lock", func(context.Context, forThreads) (struct{}, error) { return struct{}{}, nil })
	queueTask = tristrand.Define("examples.processes.queue", func(context.Context, withQueue) (struct{}, error) { return struct{}{}, nil })
	rightTask = tristrand.Define("examples.processes.right", func(ctx context.Context, in forProcesses) (bool, error) {
		return true, in.Lock.TryAcquire(ctx)
	})
)

// P04: a lock or a queue of threads cannot be sent. The error says which one it was,
// and what to use.
func TestLockOfThreads(t *testing.T) {
	ctx := t.Context()
	pool := &process.Pool{Workers: 1}
	var in forThreads
	in.Guard.Lock = new(local.Lock)
	_, err := lockTask.Call(ctx, pool, in)
	refused(t, err, "Guard.Lock", "shm.Lock")
	_, err = queueTask.Call(ctx, pool, withQueue{local.NewQueue[int](1)})
	refused(t, err, "Jobs", "shm.Queue")
	_, err = process.Start(ctx, lockTask.Bind(in))
	refused(t, err, "Guard.Lock", "shm.Lock")

	l, err := shm.NewLock("for processes")
	if err != nil {
		t.Fatal(err)
	}
	if ok, err := rightTask.Call(ctx, pool, forProcesses{l}); !ok || err != nil {
		t.Errorf("with what the error says: %v, %v", ok, err)
	}
	if err := pool.Close(ctx); err != nil {
		t.Error(err)
	}
}

func refused(t *testing.T, err error, words ...string) {
	t.Helper()
	for _, word := range words {
		if err == nil || !strings.Contains(err.Error(), word) {
			t.Errorf("%v; want an error that says %q", err, word)
		}
	}
}
