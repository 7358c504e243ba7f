//go:build linux

package processes_test

import (
	"context"
	"errors"
	"os"
	"testing"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/process"
)

// A link of the chain: a process and its parent.
type link struct{ PID, Parent int }

// chainTask tells of itself and then has a process of its own tell the rest. A task that
// calls itself is defined first thing in main, here in TestMain: as a variable's value it
// would depend on itself.
var chainTask *tristrand.Task[int, []link]

func defineChain() { chainTask = tristrand.Define("examples.processes.chain", chain) }

func chain(ctx context.Context, length int) ([]link, error) {
	self := link{os.Getpid(), os.Getppid()}
	if length == 1 {
		return []link{self}, nil
	}
	pool := &process.Pool{Workers: 1}
	rest, err := chainTask.Call(ctx, pool, length-1)
	return append([]link{self}, rest...), errors.Join(err, pool.Close(ctx))
}

// P02: own and parent's process id, down a chain.
func TestChain(t *testing.T) {
	pool := &process.Pool{Workers: 1}
	links, err := chainTask.Call(t.Context(), pool, 3)
	if err := errors.Join(err, pool.Close(t.Context())); err != nil {
		t.Fatal(err)
	}
	parent := os.Getpid()
	for i, l := range links {
		t.Logf("%*s process %d, started by %d", 2*i, "", l.PID, l.Parent)
		if l.Parent != parent {
			t.Errorf("link %d was started by %d, want %d", i, l.Parent, parent)
		}
		parent = l.PID
	}
	if len(links) != 3 {
		t.Errorf("%d links, want 3", len(links))
	}
}
