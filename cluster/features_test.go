//go:build unix

package cluster_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/cluster"
	"github.com/tristrand/tristrand/process"
	"github.com/tristrand/tristrand/strand"
	"github.com/tristrand/tristrand/thread"
)

var (
	taskSteps = tristrand.Define("cluster.steps", func(ctx context.Context, n int) (int, error) {
		for i := range n {
			if err := cluster.Report(ctx, i); err != nil {
				return 0, err
			}
		}
		return n, nil
	})
	taskBytes = tristrand.Define("cluster.bytes", func(_ context.Context, b []byte) ([]byte, error) {
		slices.Reverse(b)
		return b, nil
	})
	taskBroken = tristrand.Define("cluster.broken", func(context.Context, int) (int, error) { return 0, errors.New("it is broken") })
	// taskAway is known to this process and not to the workers of others.
	taskAway = sync.OnceValue(func() *tristrand.Task[int, int] {
		return tristrand.Define("cluster.away", func(_ context.Context, n int) (int, error) { return n, nil })
	})
)

// serve starts a worker in this process, which ends with the test.
func serve(t *testing.T, c *cluster.Cluster, engine tristrand.Executor) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	strand.Go(ctx, strand.Options{Kind: strand.Thread, Name: "serve"}, func(ctx context.Context) {
		defer close(done)
		if err := (&cluster.Worker{NoSignals: true, Grace: time.Second}).Serve(ctx, c, engine); err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	t.Cleanup(func() {
		cancel()
		<-done
		if err := engine.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
}

func TestJobsOfOneIDRunOnce(t *testing.T) {
	t.Parallel()
	ctx := adopt(t)
	c := open(t, cluster.Options{Durability: cluster.Memory})
	serve(t, c, &thread.Pool{Workers: 2})
	log := filepath.Join(t.TempDir(), "log")
	in := noteIn{log, 4, 20 * time.Millisecond}
	p, q := c.Pool(), c.Pool()
	a := taskNote.Submit(ctx, p, in, cluster.ID("order 17"))
	b := taskNote.Submit(ctx, q, in, cluster.ID("order 17"))
	for _, f := range []*tristrand.Future[int]{a, b} {
		if v, err := f.Result(ctx); v != 8 || err != nil {
			t.Errorf("the result is %d, %v", v, err)
		}
	}
	if v, err := taskNote.Call(ctx, c.Pool(), in, cluster.ID("order 17")); v != 8 || err != nil {
		t.Errorf("a later submission gives %d, %v", v, err)
	}
	if text, _ := os.ReadFile(log); strings.Count(string(text), "4") != 1 {
		t.Errorf("it ran %d times", strings.Count(string(text), "4"))
	}
}

func TestJobsRunLater(t *testing.T) {
	t.Parallel()
	ctx := adopt(t)
	c := open(t, cluster.Options{Durability: cluster.Memory})
	serve(t, c, &thread.Pool{Workers: 2})
	p := c.Pool()
	log := filepath.Join(t.TempDir(), "log")
	const d = 300 * time.Millisecond
	began := time.Now()
	f := taskNote.Submit(ctx, p, noteIn{log, 1, 0}, cluster.After(d))
	g := taskNote.Submit(ctx, p, noteIn{log, 2, 0}, cluster.After(time.Hour))
	if v, err := f.Result(ctx); v != 2 || err != nil {
		t.Fatalf("the result is %d, %v", v, err)
	}
	if took := time.Since(began); took < d {
		t.Errorf("it ran after %v, too early", took)
	}
	due := c.ServerTime(ctx).Add(d)
	if v, err := taskNote.Submit(ctx, p, noteIn{log, 1, 0}, cluster.At(due)).Result(ctx); v == 0 || err != nil {
		t.Fatalf("the result is %d, %v", v, err)
	}
	if now := c.ServerTime(ctx); now.Before(due) {
		t.Errorf("it ran at %v, too early by %v", now, due.Sub(now))
	}
	if !g.Cancel() {
		t.Error("Cancel of a job that waits for its time is false")
	}
	if _, err := g.Result(ctx); !errors.Is(err, tristrand.ErrCancelled) {
		t.Errorf("its result is %v", err)
	}
	if err := p.Close(ctx); err != nil {
		t.Error(err)
	}
	p = c.Pool()
	if err := p.Repeat(ctx, "each second", "@every 1s", taskNote.Bind(noteIn{log, 3, 0})); err != nil {
		t.Fatal(err)
	}
	ran := func() int {
		text, _ := os.ReadFile(log)
		return strings.Count(string(text), "3")
	}
	until(t, "two runs of a schedule", func() bool { return ran() >= 2 })
	n := 0
	for s, err := range c.Schedules(ctx) {
		if n++; err != nil || s.Name != "each second" || s.Task != "cluster.note" {
			t.Errorf("a schedule is %+v, %v", s, err)
		}
	}
	if n != 1 {
		t.Errorf("%d schedules", n)
	}
	if err := p.Unrepeat(ctx, "each second"); err != nil {
		t.Error(err)
	}
	if err := p.Unrepeat(ctx, "each second"); !errors.Is(err, cluster.ErrNoSchedule) {
		t.Errorf("Unrepeat again: %v", err)
	}
}

func TestProgressIsTold(t *testing.T) {
	t.Parallel()
	ctx := adopt(t)
	c := open(t, cluster.Options{Durability: cluster.Memory})
	serve(t, c, &thread.Pool{Workers: 2})
	var mu sync.Mutex
	var said []int
	told := cluster.WithProgress(ctx, func(p cluster.Progress) {
		var n int
		if err := p.Decode(&n); err != nil {
			t.Error(err)
		}
		mu.Lock()
		defer mu.Unlock()
		said = append(said, n)
	})
	if _, err := taskSteps.Call(told, c.Pool(), 5); err != nil {
		t.Fatal(err)
	}
	until(t, "all steps", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return fmt.Sprint(said) == "[0 1 2 3 4]"
	})
}

func TestLargeValuesCross(t *testing.T) {
	t.Parallel()
	ctx := adopt(t)
	c := open(t, cluster.Options{Durability: cluster.Memory})
	serve(t, c, &thread.Pool{Workers: 2})
	b := make([]byte, 5<<20+3)
	for i := range b {
		b[i] = byte(i * 7)
	}
	want := slices.Clone(b)
	slices.Reverse(want)
	out, err := taskBytes.Call(ctx, c.Pool(), b)
	if err != nil || !slices.Equal(out, want) {
		t.Errorf("%d bytes came back, %v", len(out), err)
	}
}

// A job whose task no worker has is a dead letter with the reason, and not run for ever.
func TestTaskThatNobodyHas(t *testing.T) {
	t.Parallel()
	ctx := adopt(t)
	c := open(t, cluster.Options{Durability: cluster.Memory, Listen: "127.0.0.1:0"})
	w := spawn(t, "serve", c.URL(), "2")
	w.expect("ready")
	p := c.Pool()
	p.Attempts = 2
	_, err := taskAway().Call(ctx, p, 1)
	if !errors.Is(err, cluster.ErrUnfit) || !strings.Contains(err.Error(), "cluster.away") {
		t.Errorf("the result is %v", err)
	}
	n := 0
	for d := range c.DeadLetters(ctx) {
		if n++; d.Task != "cluster.away" || !strings.Contains(d.Reason, "not defined") {
			t.Errorf("the dead letter is %+v", d)
		}
	}
	if n != 1 {
		t.Errorf("%d dead letters", n)
	}
}

// Who fails with nobody waiting is a dead letter, after its tries; and it can be retried.
func TestFailureThatNobodyGetsIsADeadLetter(t *testing.T) {
	t.Parallel()
	ctx := adopt(t)
	c := open(t, cluster.Options{Durability: cluster.Memory, Listen: "127.0.0.1:0"})
	gone := connect(t, c.URL())
	f := taskBroken.Submit(ctx, gone.Pool(), 1, tristrand.Retries(1))
	if err := gone.Close(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Result(ctx); !errors.Is(err, tristrand.ErrClosed) {
		t.Errorf("the future of a cluster that is closed: %v", err)
	}
	serve(t, c, &thread.Pool{Workers: 2})
	letters := func() (all []cluster.DeadLetter) {
		for d, err := range c.DeadLetters(ctx) {
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, d)
		}
		return all
	}
	until(t, "a dead letter", func() bool { return len(letters()) == 1 })
	d := letters()[0]
	if d.Times != 2 || d.Reason != "it is broken" {
		t.Errorf("it is %+v, want two tries", d)
	}
	if err := c.RetryDead(ctx, d.ID); err != nil {
		t.Fatal(err)
	}
	until(t, "it fails again", func() bool { a := letters(); return len(a) == 1 && a[0].At.After(d.At) })
	if err := c.DropDead(ctx, d.ID); err != nil || len(letters()) != 0 {
		t.Errorf("DropDead: %v; %d are left", err, len(letters()))
	}
}

// An engine of other processes: a crash is its job's, and the worker goes on.
func TestWorkerWithProcesses(t *testing.T) {
	t.Parallel()
	ctx := adopt(t)
	c := open(t, cluster.Options{Durability: cluster.Memory})
	serve(t, c, &process.Pool{Workers: 1})
	p := c.Pool()
	_, err := taskPoison.Call(ctx, p, 3)
	var exit *process.ExitError
	if !errors.As(err, &exit) || exit.Code != 3 {
		t.Errorf("a job that ends its process gives %v", err)
	}
	if _, err := taskPoison.Call(ctx, p, 0); err != nil {
		t.Errorf("the next gives %v", err)
	}
}
