//go:build unix

package cluster_test

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/tristrand/tristrand/cluster"
)

// Workers are told to end under load, and others take their places: each job runs once, and
// none waits until the lease of a worker that has ended is over.
func TestWorkersThatEndLeaveNothingBehind(t *testing.T) {
	t.Parallel()
	ctx := adopt(t)
	lease := 40 * time.Second
	c := open(t, cluster.Options{Durability: cluster.Memory, Listen: "127.0.0.1:0", Lease: lease})
	log := filepath.Join(t.TempDir(), "log")
	p := c.Pool()
	stay := spawn(t, "serve", c.URL(), "2")
	stay.expect("ready")
	stop := make(chan struct{})
	var wg sync.WaitGroup
	var mu sync.Mutex
	next, slowest := 0, time.Duration(0)
	for range 8 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				mu.Lock()
				n := next
				next++
				mu.Unlock()
				began := time.Now()
				if v, err := taskNote.Call(ctx, p, noteIn{log, n, time.Millisecond}); v != 2*n || err != nil {
					t.Errorf("job %d gives %d, %v", n, v, err)
				}
				mu.Lock()
				slowest = max(slowest, time.Since(began))
				mu.Unlock()
			}
		})
	}
	for range 8 {
		w := spawn(t, "serve", c.URL(), "16")
		w.expect("ready")
		until(t, "a worker", func() bool { return p.Stats().Workers >= 18 })
		mu.Lock()
		before := next
		mu.Unlock()
		until(t, "jobs", func() bool { mu.Lock(); defer mu.Unlock(); return next > before+50 })
		w.signal(syscall.SIGTERM)
		if err := w.wait(); err != nil {
			t.Errorf("a worker that was told to end says %v", err)
		}
	}
	close(stop)
	wg.Wait()
	if slowest > lease/2 {
		t.Errorf("a job took %v: it was left with a worker that has ended", slowest)
	}
	t.Logf("%d jobs, the slowest took %v", next, slowest)
	text, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(text), "\n"); n != next {
		t.Errorf("%d jobs ran %d times", next, n)
	}
}
