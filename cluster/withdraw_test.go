//go:build unix

package cluster_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/cluster"
)

// A job that was cancelled while it was on its way to a worker does not run, also when its
// submitter is gone by the time the worker asks.
func TestCancelledJobsNeverRun(t *testing.T) {
	t.Parallel()
	for name, opts := range map[string][]tristrand.CallOption{"now": nil, "later": {cluster.After(50 * time.Millisecond)}} {
		t.Run(name, func(t *testing.T) {
			ctx := adopt(t)
			c := open(t, cluster.Options{Durability: cluster.Memory, Listen: "127.0.0.1:0"})
			w := spawn(t, "worker", c.URL())
			w.say("serve q 4")
			w.expect("ok")
			log := filepath.Join(t.TempDir(), "log")
			pool := func() *cluster.Pool { p := c.Pool(); p.Name = "q"; return p }
			warm := pool()
			for n := range 2 { // from here on it waits for jobs at all its sources
				if _, err := taskNote.Call(ctx, warm, noteIn{log, n, 0}, opts...); err != nil {
					t.Fatal(err)
				}
			}
			for round := range 2 {
				if err := w.Process.Signal(syscall.SIGSTOP); err != nil {
					t.Fatal(err)
				}
				var stopped syscall.WaitStatus
				if _, err := syscall.Wait4(w.Process.Pid, &stopped, syscall.WUNTRACED, nil); err != nil || !stopped.Stopped() {
					t.Fatalf("the worker is not stopped: %v, %v", stopped, err)
				}
				gone := pool()
				inner, cancel := context.WithCancel(ctx)
				f := taskNote.Submit(inner, gone, noteIn{log, 100 + round, 0}, opts...)
				g := taskNote.Submit(ctx, gone, noteIn{log, 200 + round, 0}, opts...)
				if opts != nil { // until the store has given them to the worker
					until(t, "the jobs' time", func() bool { return gone.Stats().Queued == 2 })
				}
				cancel()
				if !g.Cancel() {
					t.Error("a job that waits cannot be cancelled")
				}
				for _, f := range []*tristrand.Future[int]{f, g} {
					if _, err := f.Result(ctx); !errors.Is(err, tristrand.ErrCancelled) {
						t.Fatalf("a job that was cancelled gives %v", err)
					}
				}
				if err := gone.Close(ctx); err != nil {
					t.Error(err)
				}
				if err := w.Process.Signal(syscall.SIGCONT); err != nil {
					t.Fatal(err)
				}
				if v, err := taskNote.Call(ctx, warm, noteIn{log, 300 + round, 0}, opts...); v != 600+2*round || err != nil {
					t.Errorf("a job after them gives %d, %v", v, err)
				}
			}
			w.say("end q") // it has no more in hand then
			w.expect("ok")
			want := []string{"300", "301"}
			for n := range 2 {
				want = append(want, fmt.Sprint(n))
			}
			slices.Sort(want)
			ran := runsIn(t, log)
			slices.Sort(ran)
			if !slices.Equal(ran, want) {
				t.Errorf("those that ran are %v, want %v", ran, want)
			}
		})
	}
}
