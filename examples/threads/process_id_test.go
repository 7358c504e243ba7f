package threads_test

import (
	"context"
	"os"
	"testing"

	"github.com/tristrand/tristrand"
)

// processID tells which process the job runs in. A task that is to run in
// another process is defined by name, in a package variable.
var processID = tristrand.Define("examples.threads.processID",
	func(context.Context, struct{}) (int, error) { return os.Getpid(), nil })

// T07: two threads have one process id, ours. Two processes have two.
func TestProcessID(t *testing.T) {
	for _, e := range engines {
		t.Run(e.name, func(t *testing.T) {
			ctx := t.Context()
			for range 2 {
				pool := e.pool(1)
				pid, err := processID.Call(ctx, pool, struct{}{})
				if err != nil {
					t.Fatal(err)
				}
				if err := pool.Close(ctx); err != nil {
					t.Fatal(err)
				}
				t.Logf("the job's process is %d, the main thread's %d", pid, os.Getpid())
				if other := pid != os.Getpid(); other != e.ownProcesses {
					t.Errorf("the job ran in another process: %v, want %v", other, e.ownProcesses)
				}
			}
		})
	}
}
