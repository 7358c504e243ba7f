package process_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/process"
)

// ways are those in which a job can end its process.
var ways = map[string]func(ctx context.Context){
	"exit":   func(context.Context) { os.Exit(7) },
	"exit 0": func(context.Context) { os.Exit(0) },
	"signal": func(context.Context) { sigkill(os.Getpid()); select {} },
	"abort":  func(context.Context) { _ = syscall.Kill(os.Getpid(), syscall.SIGABRT); select {} },
	"panic elsewhere": func(context.Context) {
		go panic("somewhere else")
		select {}
	},
	"segfault": func(context.Context) {
		b, err := syscall.Mmap(-1, 0, os.Getpagesize(), syscall.PROT_NONE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
		if err != nil {
			panic(err)
		}
		*(*int)(unsafe.Pointer(&b[0])) = 1
	},
	"stack overflow": func(context.Context) { fmt.Fprintln(os.Stderr, overflow(1)) },
	"map":            func(context.Context) { writeTogether() },
	"memory":         func(ctx context.Context) { grow(ctx) },
}

//go:noinline
func overflow(n int) int {
	if n < 0 { // not before the stack is full
		return n
	}
	return n + overflow(n+1)
}

// writeTogether writes to a map from two goroutines until the runtime sees it.
func writeTogether() {
	m := make(map[int]int)
	for g := range 4 {
		go func() {
			for i := 0; ; i++ {
				m[i%8] = g
			}
		}()
	}
	select {}
}

// grow takes memory until there is none, or ctx ends.
func grow(ctx context.Context) {
	var all [][]byte
	for ctx.Err() == nil {
		b := make([]byte, 8<<20)
		for i := 0; i < len(b); i += 4096 {
			b[i] = 1
		}
		all = append(all, b)
		time.Sleep(10 * time.Millisecond)
	}
	runtime.KeepAlive(all)
}

// die ends its process in one of the ways, with last words before.
var die = tristrand.Define("faults.die", func(ctx context.Context, way string) (int, error) {
	fmt.Fprintf(os.Stderr, "about to: %s\n", way)
	ways[way](ctx)
	return 0, nil
})

func TestEveryEndIsTold(t *testing.T) {
	ctx := adopt(t)
	var words lines
	p := open(t, &process.Pool{Workers: 2, MemoryLimitBytes: 512 << 20, Stderr: &words})
	for way, want := range map[string]struct {
		kind, reason string
		code         int
		signal       syscall.Signal
	}{
		"exit":            {kind: "exit", code: 7},
		"exit 0":          {kind: "exit", code: 0},
		"signal":          {kind: "signal", code: -1, signal: syscall.SIGKILL},
		"abort":           {kind: "fatal runtime error", reason: "SIGABRT", code: 2},
		"panic elsewhere": {kind: "panic", reason: "panic: somewhere else", code: 2},
		"segfault":        {kind: "fatal runtime error", reason: "fatal error: fault", code: 2},
		"stack overflow":  {kind: "fatal runtime error", reason: "stack overflow", code: 2},
		"map":             {kind: "fatal runtime error", reason: "concurrent map", code: 2},
	} {
		t.Run(way, func(t *testing.T) {
			if racing && way == "map" {
				t.Skip("the race detector reports it before the runtime does")
			}
			ran := make(chan error, 1)
			go func() { ran <- others(ctx, p) }()
			_, err := die.Call(ctx, p, way)
			e := exitOf(t, err)
			if e.Kind != want.kind || e.Code != want.code || e.Signal != want.signal || !strings.Contains(e.Reason, want.reason) || e.OutOfMemory {
				t.Errorf("the error is %+v, want %+v", e, want)
			}
			if !strings.Contains(e.Stderr, "about to: "+way+"\n") {
				t.Errorf("the last words are %q", e.Stderr)
			}
			if want.reason != "" && !strings.Contains(e.Crash, "goroutine ") {
				t.Errorf("there is no stack in %q", e.Crash)
			}
			if err := <-ran; err != nil {
				t.Errorf("a job of the other worker: %v", err)
			}
		})
	}
	works(ctx, t, p, 2)
	until(t, "the words come through", func() bool { return strings.Contains(words.String(), "about to: exit 0\n") })
}

// others runs jobs beside the one that dies.
func others(ctx context.Context, p *process.Pool) error {
	for i := range 50 {
		if got, err := echo.Call(ctx, p, i); got != i || err != nil {
			return fmt.Errorf("%d gives %d, %w", i, got, err)
		}
	}
	return nil
}

// lines is a writer that keeps what it gets.
type lines struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// A job that takes too much memory dies of that, and says so.
func TestOutOfMemory(t *testing.T) {
	ctx := adopt(t)
	p := open(t, &process.Pool{Workers: 2, MemoryLimitBytes: 256 << 20, Stderr: new(lines)})
	_, err := die.Call(ctx, p, "memory")
	e := exitOf(t, err)
	if !e.OutOfMemory || e.Kind != "out of memory" && e.Kind != "killed" {
		t.Errorf("the error is %+v", e)
	}
	works(ctx, t, p, 2)
}

// A panic is one on every engine, and its worker goes on.
func TestAPanicKeepsTheWorker(t *testing.T) {
	ctx := adopt(t)
	p := open(t, &process.Pool{Workers: 1})
	before, err := pid.Call(ctx, p, 0)
	if err != nil {
		t.Fatal(err)
	}
	var e *tristrand.PanicError
	if _, err := throw.Call(ctx, p, "up"); !errors.As(err, &e) || e.Value != "up" || !strings.Contains(string(e.Stack), "crash_linux_test.go") {
		t.Errorf("the panic is %v", err)
	}
	if after, err := pid.Call(ctx, p, 0); after != before || err != nil {
		t.Errorf("the next job runs in %d, %v, want %d", after, err, before)
	}
}

var throw = tristrand.Define("faults.throw", func(_ context.Context, s string) (int, error) { panic(s) })

// A job whose time is up is stopped, with all that it has started, however deaf it is.
func TestATimeOutKills(t *testing.T) {
	ctx := adopt(t)
	p := open(t, &process.Pool{Workers: 2, JobGrace: 20 * time.Millisecond})
	l := newLedger(t)
	f := loop.Submit(ctx, p, l, tristrand.Timeout(200*time.Millisecond))
	_, err := f.Result(ctx)
	if !errors.Is(err, tristrand.ErrTimeout) {
		t.Errorf("the outcome is %v, want ErrTimeout", err)
	}
	pids := l.counts(t)
	if len(pids) != 2 {
		t.Fatalf("the job has left the ids %v, want its own and its child's", pids)
	}
	until(t, "nothing of the job is left", func() bool {
		for line := range pids {
			if alive(atoi(line)) {
				return false
			}
		}
		return true
	})
	works(ctx, t, p, 2)
}

func atoi(s string) (n int) {
	_, _ = fmt.Sscan(s, &n)
	return n
}

// loop starts a process that sleeps, and never ends; not even the garbage collector can
// stop it where it is.
var loop = tristrand.Define("faults.loop", func(_ context.Context, l ledger) (int, error) {
	child, err := os.StartProcess("/bin/sleep", []string{"sleep", "1000"}, new(os.ProcAttr))
	if err != nil {
		return 0, err
	}
	for _, pid := range []int{os.Getpid(), child.Pid} {
		if err := l.add(fmt.Sprint(pid)); err != nil {
			return 0, err
		}
	}
	var n atomic.Int64
	for {
		n.Add(1)
	}
})

// Whatever a job writes to stderr is passed on, costs no memory, and does not hold
// anything up, with a newline at its end or without.
func TestMuchStderr(t *testing.T) {
	ctx := adopt(t)
	var n counter
	p := open(t, &process.Pool{Workers: 1, Stderr: &n})
	size := times(8<<20, 1<<30)
	_, err := shout.Call(ctx, p, size)
	e := exitOf(t, err)
	if len(e.Stderr) > 4096 || !strings.HasSuffix(e.Stderr, "the end, without a newline") {
		t.Errorf("%d bytes are kept, which end with %q", len(e.Stderr), e.Stderr[max(0, len(e.Stderr)-60):])
	}
	if !strings.HasSuffix(e.Error(), "the end, without a newline") {
		t.Errorf("the error is %.300q", e.Error())
	}
	if got := n.Load(); got < int64(size) {
		t.Errorf("%d bytes were passed on, of %d", got, size)
	}
	works(ctx, t, p, 1)
}

type counter struct{ atomic.Int64 }

func (c *counter) Write(b []byte) (int, error) {
	c.Add(int64(len(b)))
	return len(b), nil
}

var shout = tristrand.Define("faults.shout", func(_ context.Context, n int) (int, error) {
	b := []byte(strings.Repeat(strings.Repeat("x", 99)+"\n", 1000))
	for ; n > 0; n -= len(b) {
		if _, err := os.Stderr.Write(b); err != nil {
			return 0, err
		}
	}
	if _, err := os.Stderr.WriteString("the end, without a newline"); err != nil {
		return 0, err
	}
	os.Exit(3)
	return 0, nil
})

// What has left its worker's group and holds its stderr does not hold up the news of
// the worker's death.
func TestAGrandchildHoldsStderr(t *testing.T) {
	ctx := adopt(t)
	p := open(t, &process.Pool{Workers: 1, Stderr: new(lines)})
	l := newLedger(t)
	_, err := abandon.Call(ctx, p, l)
	for line := range l.counts(t) {
		defer sigkill(atoi(line))
	}
	if e := exitOf(t, err); e.Code != 4 || e.Stderr != "last words\n" {
		t.Errorf("the error is %+v", e)
	}
	works(ctx, t, p, 1)
}

var abandon = tristrand.Define("faults.abandon", func(_ context.Context, l ledger) (int, error) {
	child, err := os.StartProcess("/bin/sleep", []string{"sleep", "1000"}, &os.ProcAttr{
		Files: []*os.File{nil, os.Stdout, os.Stderr}, Sys: &syscall.SysProcAttr{Setsid: true},
	})
	if err != nil {
		return 0, err
	}
	if err := l.add(fmt.Sprint(child.Pid)); err != nil {
		return 0, err
	}
	fmt.Fprintln(os.Stderr, "last words")
	os.Exit(4)
	return 0, nil
})
