//go:build linux

package processes_test

import (
	"context"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/process"
	"github.com/tristrand/tristrand/strand"
)

// pidOf does its work for a while and tells where.
var pidOf = tristrand.Define("examples.processes.pid", func(ctx context.Context, n int) (int, error) {
	return os.Getpid(), strand.Sleep(ctx, 30*time.Millisecond)
})

// P09: a pool of five and ten jobs: one by one, and five at a time with a callback,
// which runs in the program.
func TestPoolOfFive(t *testing.T) {
	ctx := t.Context()
	pool := &process.Pool{Workers: 5}
	if err := pool.Start(ctx); err != nil { // so that all are there when the jobs come
		t.Fatal(err)
	}
	for n := range 10 {
		if pid, err := pidOf.Call(ctx, pool, n); err != nil || pid == os.Getpid() { // pool.apply
			t.Errorf("job %d ran in %d, %v", n, pid, err)
		}
	}
	var mu sync.Mutex
	var pids, callbacks []int
	for n := range 10 {
		pidOf.Submit(ctx, pool, n).OnDone(func(f *tristrand.Future[int]) { // pool.apply_async(callback=)
			pid, err := f.TryResult()
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			pids, callbacks = append(pids, pid), append(callbacks, os.Getpid())
		})
	}
	if err := pool.Close(ctx); err != nil { // pool.close(); pool.join()
		t.Fatal(err)
	}
	t.Log("the jobs ran in", pids)
	slices.Sort(pids)
	if n := len(pids); n != 10 {
		t.Errorf("%d callbacks, want 10", n)
	}
	if n := len(slices.Compact(pids)); n != 5 {
		t.Errorf("%d processes, want 5", n)
	}
	if slices.ContainsFunc(callbacks, func(pid int) bool { return pid != os.Getpid() }) {
		t.Errorf("callbacks ran in %v, want %d", callbacks, os.Getpid())
	}
}
