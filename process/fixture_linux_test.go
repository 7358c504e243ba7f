package process_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/process"
	"github.com/tristrand/tristrand/strand"
)

// patience is how long something may take that a busy machine makes slow.
const patience = 60 * time.Second

// soaking reports whether the long versions of the tests are wanted.
func soaking() bool { return os.Getenv("TRISTRAND_SOAK") != "" }

// times returns how often to do something: in an ordinary run, and in a soak.
func times(ordinary, soak int) int {
	if soaking() {
		return soak
	}
	return ordinary
}

// adopt makes the test's goroutine a strand. Its ctx ends long before the test binary
// is ended for want of progress, so that a test that hangs names itself.
func adopt(t *testing.T) context.Context {
	t.Helper()
	limit := 2 * patience
	if soaking() {
		limit = time.Hour
	}
	ctx, leave := strand.Become(t.Context(), strand.Options{Kind: strand.Thread, Name: t.Name()})
	bounded, cancel := context.WithTimeout(ctx, limit)
	t.Cleanup(func() {
		cancel()
		leave()
	})
	return bounded
}

// open makes the pool one that is closed at the end of the test, without an error.
func open(t *testing.T, p *process.Pool) *process.Pool {
	t.Helper()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := p.Close(ctx); err != nil {
			t.Errorf("closing the pool: %v", err)
		}
	})
	return p
}

// until waits for a condition.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("it does not come to this: %s", what)
		}
	}
}

// A proc is a process that is there, zombies aside.
type proc struct {
	pid, parent, group int
	line               string
}

func processes() (all []proc) {
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		stat, _ := os.ReadFile("/proc/" + e.Name() + "/stat")
		f := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
		if len(f) < 3 || f[0] == "Z" || f[0] == "X" {
			continue
		}
		line, _ := os.ReadFile("/proc/" + e.Name() + "/cmdline")
		p := proc{pid: pid, line: strings.ReplaceAll(string(line), "\x00", " ")}
		p.parent, _ = strconv.Atoi(f[1])
		p.group, _ = strconv.Atoi(f[2])
		all = append(all, p)
	}
	return all
}

// workersOf returns the ids of a pool's workers.
func workersOf(pool string) (pids []int) {
	for _, p := range processes() {
		if p.parent == os.Getpid() && strings.HasPrefix(p.line, "tristrand: "+pool+"-") {
			pids = append(pids, p.pid)
		}
	}
	return pids
}

// alive reports whether a process is there, and no zombie.
func alive(pid int) bool {
	state := stateOf(pid)
	return state != 0 && state != 'Z' && state != 'X'
}

// stateOf returns the letter for what a process does, 0 if there is none.
func stateOf(pid int) byte {
	stat, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if f := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:])); len(f) > 0 {
		return f[0][0]
	}
	return 0
}

// self is this process.
var self = os.Getpid()

func descriptors(pid int) int {
	entries, _ := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	return len(entries)
}

// exitOf returns the ExitError that err has to be.
func exitOf(t *testing.T, err error) *process.ExitError {
	t.Helper()
	var e *process.ExitError
	if !errors.As(err, &e) {
		t.Fatalf("the job ended with %v, which is no *ExitError", err)
	}
	return e
}

// works says whether the pool runs jobs, on all of its workers.
func works(ctx context.Context, t *testing.T, p *process.Pool, workers int) {
	t.Helper()
	if err := p.Start(ctx); err != nil {
		t.Fatal(err)
	}
	if st := p.Stats(); st.Workers != workers {
		t.Errorf("the pool has %d workers, want %d", st.Workers, workers)
	}
	for i := range 4 * workers {
		if got, err := echo.Call(ctx, p, i); got != i || err != nil {
			t.Fatalf("afterwards a job gives %v, %v", got, err)
		}
	}
}

// A file of lines that any process may append to.
type ledger string

func newLedger(t *testing.T) ledger { return ledger(filepath.Join(t.TempDir(), "ledger")) }

func (l ledger) add(line string) error {
	f, err := os.OpenFile(string(l), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(line + "\n")
	return errors.Join(err, f.Close())
}

// counts returns how often each line is there.
func (l ledger) counts(t *testing.T) map[string]int {
	t.Helper()
	b, err := os.ReadFile(string(l))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	all := make(map[string]int)
	for line := range strings.Lines(string(b)) {
		all[strings.TrimSuffix(line, "\n")]++
	}
	return all
}

// An entry is what a job writes into a ledger.
type entry struct {
	Ledger ledger
	ID     int
	For    time.Duration // how long the job takes
	Bytes  int           // how much it returns
}

type written struct {
	ID, PID int
	Data    []byte
}

// The tasks that the tests share. Every process of the binary has them.
var (
	echo = tristrand.Define("faults.echo", func(_ context.Context, n int) (int, error) { return n, nil })

	pid = tristrand.Define("faults.pid", func(context.Context, int) (int, error) { return os.Getpid(), nil })

	write = tristrand.Define("faults.write", func(_ context.Context, e entry) (w written, err error) {
		if err := e.Ledger.add(strconv.Itoa(e.ID)); err != nil {
			return w, err
		}
		busy(e.For)
		return written{e.ID, os.Getpid(), bytes.Repeat([]byte{byte(e.ID)}, e.Bytes)}, nil
	})

	// hang says that it is there and then does not listen to its ctx.
	hang = tristrand.Define("faults.hang", func(_ context.Context, l ledger) (int, error) { return hangIn(l) })
)

func hangIn(l ledger) (int, error) {
	if err := l.add(strconv.Itoa(os.Getpid())); err != nil {
		return 0, err
	}
	for {
		time.Sleep(time.Hour)
	}
}

// busy takes time without sleeping for less than a timer can.
func busy(d time.Duration) {
	if d >= time.Millisecond {
		time.Sleep(d)
		return
	}
	for began := time.Now(); time.Since(began) < d; {
	}
}

// hung returns the id of the process that hang says it is in.
func hung(t *testing.T, l ledger) (pid int) {
	t.Helper()
	until(t, "the job runs", func() bool {
		for line := range l.counts(t) {
			pid, _ = strconv.Atoi(line)
		}
		return pid > 0
	})
	return pid
}

func sigkill(pid int) { _ = syscall.Kill(pid, syscall.SIGKILL) } // gone already is as good

func pidText() string { return strconv.Itoa(os.Getpid()) }
