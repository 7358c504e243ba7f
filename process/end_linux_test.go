package process_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/process"
)

// lastAct writes its result into the lane itself and kills its worker.
var lastAct = tristrand.Define("faults.lastAct", func(_ context.Context, a act) (int, error) {
	if err := a.Ledger.add("act"); err != nil {
		return 0, err
	}
	if err := process.Answer(a.Pool, a.N); err != nil {
		return 0, err
	}
	sigkill(os.Getpid())
	select {}
})

type act struct {
	Pool   string
	Ledger ledger
	N      int
}

// A result that was written counts, although the worker dies before anybody has read it,
// and the job does not run again.
func TestKilledWithTheResultWritten(t *testing.T) {
	ctx := adopt(t)
	p := open(t, &process.Pool{Name: "acts", Workers: 1, Stderr: new(lines)})
	l, n := newLedger(t), times(20, 500)
	for i := range n {
		got, err := lastAct.Call(ctx, p, act{p.Name, l, i}, tristrand.Retries(3))
		if got != i || err != nil {
			t.Fatalf("job %d gives %d, %v", i, got, err)
		}
	}
	if ran := l.counts(t)["act"]; ran != n {
		t.Errorf("%d jobs ran %d times", n, ran)
	}
	works(ctx, t, p, 1)
}

// fillUp stops its program, so that nobody reads the ring, and fails at such length that
// five of these fill it.
var fillUp = tristrand.Define("faults.fillUp", func(_ context.Context, l ledger) (int, error) {
	program := os.Getppid()
	if err := syscall.Kill(program, syscall.SIGSTOP); err != nil {
		return 0, err
	}
	for !allStopped(program) {
		time.Sleep(time.Millisecond)
	}
	return 0, errors.Join(l.add(pidText()), errors.New(strings.Repeat("very long. ", 1100)))
})

// allStopped reports whether all threads of a process are, which stop one by one.
func allStopped(pid int) bool {
	threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
	for _, path := range threads {
		stat, err := os.ReadFile(path)
		if at := bytes.LastIndexByte(stat, ')'); err == nil && at >= 0 && !bytes.HasPrefix(stat[at:], []byte(") T")) {
			return false
		}
	}
	return len(threads) > 0
}

func fullRing(ctx context.Context) error {
	l := ledger(os.Getenv("LEDGER"))
	for _, err := range fillUp.Map(ctx, &process.Pool{Workers: 1}, slices.Values(slices.Repeat([]ledger{l}, 30)), tristrand.Chunk(30)) {
		if err == nil {
			return errors.New("an input has not failed")
		}
	}
	return nil
}

// A worker that waits for room in the ring ends with its program.
func TestARingIsFullAndItsReaderDies(t *testing.T) {
	for range times(2, 50) {
		l := newLedger(t)
		r := prepare(t, "full ring")
		r.Env = append(r.Env, "LEDGER="+string(l))
		r.begin(t)
		var worker string
		until(t, "the ring is full", func() bool {
			for pid, ran := range l.counts(t) {
				if ran >= 5 {
					worker = pid
				}
			}
			return worker != ""
		})
		pid, err := strconv.Atoi(worker)
		if err != nil || !alive(pid) {
			t.Fatalf("worker %q: %v", worker, err)
		}
		sigkill(r.Process.Pid)
		gone(t, pid)
		if ran := l.counts(t)[worker]; ran > 10 {
			t.Errorf("the ring took %d results", ran)
		}
	}
}

// deprived uses all that this package has.
func deprived(ctx context.Context) error {
	p := &process.Pool{Workers: 2, Stderr: new(lines)}
	for i := range 20 {
		if n, err := echo.Call(ctx, p, i); n != i || err != nil {
			return fmt.Errorf("job %d: %d, %w", i, n, err)
		}
	}
	large := bytes.Repeat([]byte{7}, 1<<20)
	if b, err := mirror.Call(ctx, p, large); !bytes.Equal(b, large) || err != nil {
		return fmt.Errorf("of a MiB come %d bytes: %w", len(b), err)
	}
	_, err := die.Call(ctx, p, "exit")
	if e := (*process.ExitError)(nil); !errors.As(err, &e) || e.Code != 7 {
		return fmt.Errorf("the job that ends its worker: %w", err)
	}
	_, err = spin.Call(ctx, p, 0, tristrand.Timeout(1))
	if !errors.Is(err, tristrand.ErrTimeout) {
		return fmt.Errorf("the job without end: %w", err)
	}
	q, err := process.Start(ctx, finish.Bind("exit"))
	if err != nil {
		return err
	}
	if e := (*process.ExitError)(nil); !errors.As(q.Join(ctx), &e) || e.Code != 3 {
		return fmt.Errorf("the process: %w", q.Join(ctx))
	}
	if n, err := echo.Call(ctx, p, 5); n != 5 || err != nil {
		return fmt.Errorf("the last job: %d, %w", n, err)
	}
	fmt.Println("all is well")
	return p.Close(ctx)
}

var spin = tristrand.Define("faults.spin", func(context.Context, int) (int, error) {
	for n := 0; ; n++ {
		if n < 0 {
			return n, nil
		}
	}
})

// A pool does what it does without /proc, over pipes, and with neither.
func TestDeprivedPools(t *testing.T) {
	const pipes = "TRISTRAND_TRANSPORT=pipes"
	t.Run("pipes", func(t *testing.T) {
		r := prepare(t, "deprived")
		r.Env = append(r.Env, pipes)
		allIsWell(t, r)
	})
	if racing {
		t.Skip("the race detector complains when there is no /proc")
	}
	if out, err := exec.Command("unshare", "-m", "true").CombinedOutput(); err != nil {
		t.Skipf("nobody but root can take /proc away: %v %s", err, out)
	}
	for name, more := range map[string]string{"no proc": "NONE=", "pipes and no proc": pipes} {
		t.Run(name, func(t *testing.T) {
			r := prepare(t, "deprived")
			const hide = `mount -t tmpfs none /proc && exec "$0"`
			r.Path, r.Args = "/usr/bin/unshare", []string{"unshare", "-m", "sh", "-c", hide, os.Args[0]}
			r.Env = append(r.Env, more)
			allIsWell(t, r)
		})
	}
}

func allIsWell(t *testing.T, r *running) {
	t.Helper()
	r.begin(t)
	if status, said := r.ends(t); status != 0 || !strings.Contains(said, "all is well") {
		t.Errorf("status %d, %s", status, said)
	}
}
