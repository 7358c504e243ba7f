package batch

import (
	"bytes"
	"context"
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/cmd/tristrand/internal/builtin"
	"github.com/tristrand/tristrand/cmd/tristrand/internal/spool"
	"github.com/tristrand/tristrand/process"
)

func TestMain(m *testing.M) {
	process.Init()
	os.Exit(m.Run())
}

// misdeed is a task that does what its input says.
var misdeed = tristrand.Define("batch.misdeed", func(ctx context.Context, what string) (builtin.Outcome, error) {
	switch what {
	case "fail":
		return builtin.Outcome{}, errors.New("no luck")
	case "panic":
		panic("at the disco")
	case "exit 0":
		os.Exit(0)
	case "exit 3":
		_, _ = os.Stderr.WriteString("farewell")
		os.Exit(3)
	case "eat":
		for {
			eaten = append(eaten, bytes.Repeat([]byte{1}, 1<<20))
		}
	case "recurse":
		return builtin.Outcome{Text: strings.Repeat("x", endless(1))}, nil
	case "hang":
		select {}
	case "wait":
		<-ctx.Done()
		return builtin.Outcome{}, ctx.Err()
	}
	return builtin.Outcome{Text: what}, nil
})

var eaten [][]byte

func endless(n int) int {
	if n < 0 {
		return 0
	}
	return 1 + endless(n+1)
}

func newWorkers(t *testing.T, timeout time.Duration) *WorkerTask {
	t.Helper()
	pool := &process.Pool{Name: "test", Workers: 1, JobGrace: 50 * time.Millisecond, MemoryLimitBytes: 256 << 20, Stderr: new(strings.Builder)}
	t.Cleanup(func() {
		if err := pool.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return NewWorkerTask(builtin.Spec{Name: "misdeed", Task: misdeed}, pool, timeout)
}

// What a job does to its worker is how that job ends, and nothing to the next one.
func TestMisdeedsInWorkers(t *testing.T) {
	w := newWorkers(t, 0)
	for _, row := range []struct {
		what         string
		exit, signal int
		err, printed string
	}{
		{"fail", 1, 0, "no luck", ""},
		{"panic", 1, 0, "panic: at the disco\ngoroutine ", ""},
		{"exit 0", 1, 0, "exit status 0", ""},
		{"exit 3", 3, 0, "exit status 3; its last words: farewell", "farewell\n"},
		{"recurse", 2, 0, "fatal runtime error", "stack"},
	} {
		out, errs := spool.Buffer{MemoryBytes: 1 << 20}, spool.Buffer{MemoryBytes: 1 << 20}
		o := w.Do(t.Context(), row.what, &out, &errs)
		if o.Exit != row.exit || o.Signal != row.signal || o.Err == nil || !strings.Contains(o.Err.Error(), row.err) || o.Fatal || o.TimedOut {
			t.Errorf("%s: %+v", row.what, o)
		}
		if got := string(errs.Head()); !strings.Contains(got, row.printed) || (row.printed == "") != (got == "") {
			t.Errorf("%s: it printed %q, want %q", row.what, got, row.printed)
		}
		o = w.Do(t.Context(), "well done", &out, &errs)
		if o.failed() || string(out.Head()) != "well done\n" {
			t.Errorf("after %s: %+v, %q", row.what, o, out.Head())
		}
	}
}

func TestMemoryOfWorkers(t *testing.T) {
	w := newWorkers(t, 0)
	var out, errs spool.Buffer
	o := w.Do(t.Context(), "eat", &out, &errs)
	died, ok := errors.AsType[*process.ExitError](o.Err)
	if !ok || !died.OutOfMemory || o.Exit == 0 && o.Signal == 0 {
		t.Errorf("%+v", o)
	}
}

// A job that does not stop when its time is up is killed, and one that does is not.
func TestTimeOfWorkers(t *testing.T) {
	w := newWorkers(t, 200*time.Millisecond)
	var out, errs spool.Buffer
	if o := w.Do(t.Context(), "hang", &out, &errs); !o.TimedOut || o.Exit != -1 || o.Signal != int(syscall.SIGTERM) || o.Stopped {
		t.Errorf("one that does not stop: %+v", o)
	}
	w.timeout = time.Nanosecond
	if o := w.Do(t.Context(), "wait", &out, &errs); !o.TimedOut || o.Exit != -1 || o.Stopped {
		t.Errorf("one that stops: %+v", o)
	}
}

// The end of the run stops a job, Kill at once; it counts as not run.
func TestStopOfWorkers(t *testing.T) {
	for name, stop := range map[string]func(context.CancelFunc, *WorkerTask){
		"the end of ctx": func(cancel context.CancelFunc, _ *WorkerTask) { cancel() },
		"Kill":           func(cancel context.CancelFunc, w *WorkerTask) { cancel(); w.Kill() },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorkers(t, 0)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			go func() {
				for w.pool.Stats().Busy == 0 {
					time.Sleep(time.Millisecond)
				}
				stop(cancel, w)
			}()
			var out, errs spool.Buffer
			if o := w.Do(ctx, "hang", &out, &errs); !o.Stopped || o.Fatal || o.Err != nil {
				t.Errorf("%+v", o)
			}
		})
	}
}

// Without a worker nothing can be run.
func TestNoWorkers(t *testing.T) {
	w := newWorkers(t, 0)
	if err := w.pool.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	var out, errs spool.Buffer
	if o := w.Do(t.Context(), "x", &out, &errs); !o.Fatal || !errors.Is(o.Err, tristrand.ErrClosed) {
		t.Errorf("%+v", o)
	}
}
