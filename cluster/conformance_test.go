//go:build unix

package cluster_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/cluster"
	"github.com/tristrand/tristrand/conformance"
)

// TestExecutor runs the suite with the workers in another process. It is alone in this one, as
// the suite looks whether strands go on.
func TestExecutor(t *testing.T) {
	c := open(t, cluster.Options{Durability: cluster.Memory, Listen: "127.0.0.1:0"})
	worker := spawn(t, "worker", c.URL())
	var mu sync.Mutex
	var n atomic.Int64
	o := conformance.ExecutorOptions{Portable: true}
	o.Worlds = []conformance.World{conformance.RealTime}
	conformance.Executor(t, func(ctx context.Context, t testing.TB, workers, queue int) tristrand.Executor {
		mu.Lock()
		defer mu.Unlock()
		p := c.Pool()
		p.Name, p.Queue = fmt.Sprint("q", n.Add(1)), queue
		worker.say("serve %s %d", p.Name, workers)
		worker.expect("ok")
		t.Cleanup(func() {
			mu.Lock()
			defer mu.Unlock()
			worker.say("end %s", p.Name)
			worker.expect("ok")
		})
		return p
	}, o)
}
