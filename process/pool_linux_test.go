package process_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/process"
)

// begin is an Init: it does as its input says, and notes which process it is.
var begin = tristrand.Define("faults.begin", func(ctx context.Context, b beginning) (int, error) {
	if err := b.Ledger.add(strconv.Itoa(os.Getpid())); err != nil {
		return 0, err
	}
	switch b.How {
	case "fail":
		return 0, errors.New("no database")
	case "panic":
		panic("no database")
	case "exit":
		fmt.Fprintln(os.Stderr, "no database")
		os.Exit(9)
	case "never":
		<-ctx.Done()
		select {}
	}
	return 0, nil
})

type beginning struct {
	Ledger ledger
	How    string
}

func TestInitRunsOnceInEachWorker(t *testing.T) {
	ctx := adopt(t)
	l := newLedger(t)
	p := open(t, &process.Pool{Workers: 3, MaxTasks: 5, Init: begin.Bind(beginning{l, ""})})
	pids := make(map[int]int)
	var all []*tristrand.Future[int]
	for range 40 {
		all = append(all, pid.Submit(ctx, p, 0))
	}
	for _, f := range all {
		n, err := f.Result(ctx)
		if err != nil {
			t.Fatal(err)
		}
		pids[n]++
	}
	inits := l.counts(t)
	for n, jobs := range pids {
		if jobs > 5 || inits[strconv.Itoa(n)] != 1 {
			t.Errorf("worker %d has run %d jobs and Init %d times", n, jobs, inits[strconv.Itoa(n)])
		}
	}
	if len(pids) < 8 {
		t.Errorf("%d workers have run 40 jobs, of 5 each at most", len(pids))
	}
}

// A pool whose Init fails refuses all jobs, and says why.
func TestInitFails(t *testing.T) {
	ctx := adopt(t)
	reported := make(chan error, 100)
	tristrand.OnReport(func(_ context.Context, err error) { reported <- err })
	defer tristrand.OnReport(nil)
	for _, how := range []string{"fail", "panic", "exit"} {
		p := open(t, &process.Pool{Workers: 2, Queue: 2, Stderr: new(lines), Init: begin.Bind(beginning{newLedger(t), how})})
		var all []*tristrand.Future[int]
		for i := range 10 { // some wait in the queue, some for room, some come too late
			all = append(all, echo.Submit(ctx, p, i))
		}
		for _, f := range all {
			if _, err := f.Result(ctx); !errors.Is(err, tristrand.ErrClosed) || !strings.Contains(err.Error(), "no database") {
				t.Errorf("%s: a job ends with %v", how, err)
			}
		}
		if err := p.Start(ctx); err == nil {
			t.Errorf("%s: Start gives nothing", how)
		}
		<-reported
	}
}

// A pool whose Init never returns can be closed, in its time.
func TestInitNeverReturns(t *testing.T) {
	ctx := adopt(t)
	l := newLedger(t)
	p := &process.Pool{Workers: 2, Grace: 10 * time.Millisecond, Init: begin.Bind(beginning{l, "never"})}
	f := echo.Submit(ctx, p, 1)
	until(t, "both are at it", func() bool { return len(l.counts(t)) == 2 })
	short, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
	defer cancel()
	var e *tristrand.CloseError
	if err := p.Close(short); !errors.As(err, &e) || len(e.Left) != 1 {
		t.Errorf("Close gives %v", err)
	}
	if _, err := f.Result(ctx); !errors.Is(err, tristrand.ErrCancelled) {
		t.Errorf("its job ends with %v", err)
	}
	for line := range l.counts(t) {
		if alive(atoi(line)) {
			t.Errorf("worker %s is there still", line)
		}
	}
}

// A worker may have a pool of its own, which ends with it.
func TestPoolsWithinPools(t *testing.T) {
	ctx := adopt(t)
	p := open(t, &process.Pool{Workers: 2})
	l := newLedger(t)
	var all sync.WaitGroup
	for i := range 4 {
		all.Go(func() {
			if n, err := nested.Call(ctx, p, entry{Ledger: l, ID: 10 * i}); n != 30*i+3 || err != nil {
				t.Errorf("a pool within gives %d, %v", n, err)
			}
		})
	}
	all.Wait()
	f := nested.Submit(ctx, p, entry{Ledger: l, ID: -1})
	outer := hung(t, l)
	var inside []int
	until(t, "the worker has workers", func() bool {
		inside = nil
		for _, x := range processes() {
			if x.parent == outer && !strings.Contains(x.line, "guardian") {
				inside = append(inside, x.pid)
			}
		}
		return len(inside) >= 2
	})
	sigkill(outer)
	_, err := f.Result(ctx)
	exitOf(t, err)
	until(t, "its workers are gone", func() bool { return !alive(inside[0]) && !alive(inside[1]) })
}

var nested = tristrand.Define("faults.nested", func(ctx context.Context, e entry) (sum int, err error) {
	p := &process.Pool{Workers: 2}
	if e.ID < 0 {
		if err := p.Start(ctx); err != nil {
			return 0, err
		}
		return hangIn(e.Ledger)
	}
	for i := range 3 {
		n, err := echo.Call(ctx, p, e.ID+i)
		if err != nil {
			return 0, err
		}
		sum += n
	}
	return sum, p.Close(ctx)
})

// A cancelled job whose worker dies at that moment is cancelled or has died, and the
// jobs behind it run.
func TestCancelledAsTheWorkerDies(t *testing.T) {
	ctx := adopt(t)
	p := open(t, &process.Pool{Workers: 1})
	for range times(20, 2000) {
		works(ctx, t, p, 1) // jobs are sent ahead then
		l := newLedger(t)
		f := hang.Submit(ctx, p, l)
		var all []*tristrand.Future[int]
		for i := range 10 {
			all = append(all, echo.Submit(ctx, p, i))
		}
		at := hung(t, l)
		go sigkill(at)
		for i, g := range all {
			if i%2 == 0 {
				g.Cancel()
			}
		}
		_, err := f.Result(ctx)
		exitOf(t, err)
		for i, g := range all {
			if n, err := g.Result(ctx); (err != nil || n != i) && (i%2 == 1 || !errors.Is(err, tristrand.ErrCancelled)) {
				t.Errorf("job %d gives %d, %v", i, n, err)
			}
		}
	}
}

// Without descriptors for a worker's start the pool goes on trying, and says what is
// missing when it gives up.
func TestNoDescriptors(t *testing.T) {
	r := run(t, "no descriptors")
	if got := r.hear(t); !strings.Contains(got, "is broken") || !strings.Contains(got, "ulimit -n") {
		t.Errorf("without descriptors: %q", got)
	}
	if got := r.hear(t); got != "5 <nil>" {
		t.Errorf("with some again: %q", got)
	}
}

func withoutDescriptors(ctx context.Context) error {
	tristrand.OnReport(func(context.Context, error) {})
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return err
	}
	before := limit.Cur
	limit.Cur = uint64(descriptors(os.Getpid()) + 4)
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return err
	}
	_, err := echo.Call(ctx, &process.Pool{Workers: 1}, 5)
	fmt.Println(strings.ReplaceAll(fmt.Sprint(err), "\n", " "))
	limit.Cur = before
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return err
	}
	n, err := echo.Call(ctx, &process.Pool{Workers: 1}, 5)
	fmt.Println(n, err)
	return nil
}

// The binary may go, or another come in its place, while the program runs, and children
// may be ignored by who started it.
func TestTheBinaryIsGone(t *testing.T) {
	for name, change := range map[string]func(string) error{
		"deleted":         os.Remove,
		"replaced":        func(path string) error { return os.Rename(copyTo(t, "/bin/true"), path) },
		"SIGCHLD ignored": nil,
	} {
		t.Run(name, func(t *testing.T) {
			path := copyTo(t, os.Args[0])
			r := prepare(t, "late")
			r.Path, r.Args = path, []string{path}
			if change == nil {
				r.Path, r.Args = "/bin/sh", []string{"sh", "-c", `trap "" CHLD; exec "$0"`, path}
			}
			r.begin(t)
			if got := r.hear(t); got != "ready" {
				t.Fatal(got)
			}
			if change != nil {
				if err := change(path); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := fmt.Fprintln(r.stdin); err != nil {
				t.Fatal(err)
			}
			if got := r.hear(t); got != "5 <nil> exit status 7" {
				t.Errorf("it works like this: %q", got)
			}
		})
	}
}

// late starts its workers when it is told to.
func late(ctx context.Context) error {
	fmt.Println("ready")
	if _, err := fmt.Scanln(); err != nil && err.Error() != "unexpected newline" {
		return err
	}
	p := &process.Pool{Workers: 1, Stderr: new(lines)}
	n, err := echo.Call(ctx, p, 5)
	_, err2 := die.Call(ctx, p, "exit")
	if e, ok := errors.AsType[*process.ExitError](err2); ok {
		err2 = fmt.Errorf("exit status %d", e.Code)
	}
	fmt.Println(n, err, err2)
	return nil
}

func copyTo(t *testing.T, from string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "program")
	if out, err := exec.Command("cp", from, path).CombinedOutput(); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	return path
}
