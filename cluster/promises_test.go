//go:build unix

package cluster_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/cluster"
	"github.com/tristrand/tristrand/thread"
)

// soon returns a ctx for what must come about.
func soon(ctx context.Context, t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, patience)
	t.Cleanup(cancel)
	return ctx
}

// An ID whose job was cancelled can be submitted again, and runs then.
func TestCancelledIDCanBeSubmittedAgain(t *testing.T) {
	t.Parallel()
	ctx := adopt(t)
	c := open(t, cluster.Options{Durability: cluster.Memory})
	log := filepath.Join(t.TempDir(), "log")
	p := c.Pool()
	f := taskNote.Submit(ctx, p, noteIn{log, 1, 0}, cluster.ID("a"))
	until(t, "the job", func() bool { return p.Stats().Submitted == 1 })
	if !f.Cancel() {
		t.Fatal("a job that waits cannot be cancelled")
	}
	if _, err := f.Result(ctx); !errors.Is(err, tristrand.ErrCancelled) {
		t.Fatal(err)
	}
	until(t, "the end of the job", func() bool { st, err := c.Status(ctx); return err == nil && st.Jobs == 0 })
	g := taskNote.Submit(ctx, p, noteIn{log, 2, 0}, cluster.ID("a"))
	serve(t, c, &thread.Pool{Workers: 2})
	if v, err := g.Result(soon(ctx, t)); v != 4 || err != nil {
		t.Errorf("the job that was submitted again gives %d, %v", v, err)
	}
}

// Of two who have submitted one ID one gives up: the other gets a result.
func TestOneOfTwoWithOneIDGivesUp(t *testing.T) {
	t.Parallel()
	ctx := adopt(t)
	c := open(t, cluster.Options{Durability: cluster.Memory})
	log := filepath.Join(t.TempDir(), "log")
	p, q := c.Pool(), c.Pool()
	f := taskNote.Submit(ctx, p, noteIn{log, 1, 0}, cluster.ID("a"))
	until(t, "the first", func() bool { return p.Stats().Submitted == 1 })
	g := taskNote.Submit(ctx, q, noteIn{log, 1, 0}, cluster.ID("a"))
	until(t, "the second", func() bool { return q.Stats().Submitted == 1 })
	if !f.Cancel() {
		t.Fatal("a job that waits cannot be cancelled")
	}
	serve(t, c, &thread.Pool{Workers: 2})
	if v, err := g.Result(soon(ctx, t)); v != 2 || err != nil {
		t.Errorf("the other gives %d, %v", v, err)
	}
}

// taskTries fails until its file has N lines, one for each try.
var taskTries = tristrand.Define("cluster.tries", func(_ context.Context, in noteIn) (int, error) {
	text, err := os.ReadFile(in.File)
	if n := len(text) + 1; err == nil && n >= in.N {
		return n, nil
	}
	return 0, errors.Join(errors.New("not yet"), os.WriteFile(in.File, append(text, '.'), 0o600))
})

// A job may be tried more often than its workers may die of it.
func TestManyRetries(t *testing.T) {
	t.Parallel()
	ctx := adopt(t)
	c := open(t, cluster.Options{Durability: cluster.Memory})
	serve(t, c, &thread.Pool{Workers: 2})
	v, err := taskTries.Submit(soon(ctx, t), c.Pool(), noteIn{File: filepath.Join(t.TempDir(), "tries"), N: 8}, tristrand.Retries(8)).Result(ctx)
	if v != 8 || err != nil {
		t.Errorf("it gives %d, %v", v, err)
	}
}

// Who tries a lock whose holder has died is told, also when nobody waits for it.
func TestTriesSeeTheDead(t *testing.T) {
	t.Parallel()
	ctx := adopt(t)
	c := open(t, cluster.Options{Durability: cluster.Memory, Listen: "127.0.0.1:0", Lease: time.Second})
	o := connect(t, c.URL())
	l := cluster.NewLock(o, "l")
	s := cluster.NewSemaphore(o, "s", 1)
	if err := errors.Join(l.Acquire(ctx), s.Acquire(ctx)); err != nil {
		t.Fatal(err)
	}
	cluster.Kill(o)
	until(t, "the news of the lock's holder", func() bool {
		return errors.Is(cluster.NewLock(c, "l").TryAcquire(ctx), tristrand.ErrOwnerDied)
	})
	until(t, "the return of what the dead had of the semaphore", func() bool {
		return cluster.NewSemaphore(c, "s", 1).TryAcquire(ctx) == nil
	})
}

// A barrier all of whose parties died in the action is broken for those who come.
func TestBarrierOfTheDead(t *testing.T) {
	t.Parallel()
	ctx := adopt(t)
	c := open(t, cluster.Options{Durability: cluster.Memory, Listen: "127.0.0.1:0", Lease: time.Second})
	o := connect(t, c.URL())
	b := cluster.NewBarrier(o, "b", 1)
	acts, end := make(chan struct{}), make(chan struct{})
	defer close(end)
	b.Action = func(context.Context) error { close(acts); <-end; return nil }
	go func() { _, _ = b.Wait(context.Background()) }()
	<-acts
	cluster.Kill(o)
	if _, err := cluster.NewBarrier(c, "b", 1).Wait(soon(ctx, t)); !errors.Is(err, tristrand.ErrBroken) {
		t.Errorf("who comes gets %v", err)
	}
}

// Futures of jobs that are submitted while the pool or the cluster is closed end.
func TestSubmitWhileClosing(t *testing.T) {
	t.Parallel()
	ctx := adopt(t)
	for round := range 40 {
		c := open(t, cluster.Options{Durability: cluster.Memory})
		p := c.Pool()
		if err := p.Start(ctx); err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		for range 16 {
			wg.Go(func() {
				for {
					f := taskSteps.Submit(context.Background(), p, 0)
					_, err := f.Result(soon(context.Background(), t))
					switch {
					case errors.Is(err, context.DeadlineExceeded):
						t.Error("a future does not end")
						return
					case err != nil:
						return
					}
				}
			})
		}
		time.Sleep(time.Duration(round) * 50 * time.Microsecond)
		if round%2 == 0 {
			_ = p.Terminate()
		} else {
			_ = c.Close(ctx)
		}
		wg.Wait()
	}
}

// A worker that was taken for dead has no say about a job that another has.
func TestWhatTheDeadSayOfAJob(t *testing.T) {
	t.Parallel()
	ctx := adopt(t)
	c := open(t, cluster.Options{Durability: cluster.Memory})
	p := c.Pool()
	f := taskSteps.Submit(ctx, p, 0, tristrand.Retries(1))
	until(t, "the job", func() bool { return p.Stats().Submitted == 1 })
	for _, worker := range []string{"one", "two"} {
		if said := cluster.Tell(p, "begin", worker); said != cluster.SaysRun {
			t.Fatalf("worker %s is told %d", worker, said)
		}
	}
	for _, what := range []string{"back", "failed"} {
		if said := cluster.Tell(p, what, "one"); said != cluster.SaysLeave {
			t.Errorf("who says %q of another's job is told %d", what, said)
		}
	}
	if st := f.State(); st != tristrand.Running {
		t.Errorf("the job is %v", st)
	}
	_ = p.Terminate()
}
