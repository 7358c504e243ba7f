package process_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/process"
)

// start starts a Process that is joined, or killed, at the end of the test.
func start(ctx context.Context, t *testing.T, task tristrand.Bound, opts ...process.Option) *process.Process {
	t.Helper()
	p, err := process.Start(ctx, task, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.Kill()
		<-p.Done()
	})
	return p
}

// finish ends as it is told.
var finish = tristrand.Define("faults.finish", func(_ context.Context, how string) (int, error) {
	switch how {
	case "error":
		return 0, fmt.Errorf("it is not there: %w", os.ErrNotExist)
	case "long error":
		return 0, errors.New(strings.Repeat("very, ", 100_000))
	case "long panic":
		panic(strings.Repeat("very, ", 100_000))
	case "panic":
		panic("up")
	case "exit":
		os.Exit(3)
	}
	return 0, nil
})

func TestAProcessTellsItsEnd(t *testing.T) {
	ctx := adopt(t)
	for how, want := range map[string]struct {
		code int
		text string
		as   any
		is   error
	}{
		"return":     {0, "", nil, nil},
		"error":      {1, "it is not there: file does not exist", new(*process.RemoteError), os.ErrNotExist},
		"long error": {1, "very, very", new(*process.RemoteError), nil},
		"panic":      {2, "up", new(*tristrand.PanicError), nil},
		"long panic": {2, "very, very", new(*tristrand.PanicError), nil},
		"exit":       {3, "exit status 3", new(*process.ExitError), nil},
	} {
		p := start(ctx, t, finish.Bind(how), process.Output(nil, new(lines)))
		err := p.Join(ctx)
		if (err == nil) != (want.text == "") || err != nil && !strings.Contains(err.Error(), want.text) ||
			want.as != nil && !errors.As(err, want.as) || want.is != nil && !errors.Is(err, want.is) {
			t.Errorf("%s: Join gives %.200v", how, err)
		}
		if p.ExitCode() != want.code || p.Alive() || p.Failed() != (want.text != "") {
			t.Errorf("%s: code %d, alive %v, failed %v", how, p.ExitCode(), p.Alive(), p.Failed())
		}
		if again := p.Join(ctx); !errors.Is(again, err) && err != nil {
			t.Errorf("%s: the second Join gives %v", how, again)
		}
	}
}

// Join with a time-out leaves the process alone; Terminate and Kill end it.
func TestAProcessIsEnded(t *testing.T) {
	ctx := adopt(t)
	for sig, end := range map[syscall.Signal]func(*process.Process){
		syscall.SIGTERM: (*process.Process).Terminate,
		syscall.SIGKILL: (*process.Process).Kill,
	} {
		l := newLedger(t)
		p := start(ctx, t, hang.Bind(l), process.Name("sleeper"))
		if pid := hung(t, l); pid != p.PID() {
			t.Errorf("it says that its id is %d, and it is %d", p.PID(), pid)
		}
		short, cancel := context.WithTimeout(ctx, 10*time.Millisecond)
		if err := p.Join(short); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Join for a moment gives %v", err)
		}
		cancel()
		if !p.Alive() || p.ExitCode() != -1 || p.Failed() || p.Name() != "sleeper" {
			t.Errorf("it is alive: %v, code %d, failed %v", p.Alive(), p.ExitCode(), p.Failed())
		}
		end(p)
		e := exitOf(t, p.Join(ctx))
		if e.Signal != sig || e.Kind != "killed" || p.ExitCode() != -int(sig) || p.Alive() || !p.Failed() {
			t.Errorf("after %v: %+v, code %d", sig, e, p.ExitCode())
		}
		end(p) // of no effect
	}
}

// The end of its ctx ends a process: gently if it listens, otherwise by force.
func TestTheCtxOfAProcess(t *testing.T) {
	ctx := adopt(t)
	inner, cancel := context.WithCancel(ctx)
	l := newLedger(t)
	p := start(inner, t, hang.Bind(l), process.Grace(10*time.Millisecond))
	hung(t, l)
	cancel()
	if err := p.Join(ctx); !errors.Is(err, context.Canceled) || !errors.As(err, new(*process.ExitError)) {
		t.Errorf("a deaf one ends with %v", err)
	}
	inner, cancel = context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	p = start(inner, t, listen.Bind(0), process.Grace(time.Minute))
	if err := p.Join(ctx); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "heard") {
		t.Errorf("one that listens ends with %v", err)
	}
	if _, err := process.Start(inner, listen.Bind(0)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a Start whose ctx has ended gives %v", err)
	}
	p = start(ctx, t, listen.Bind(0), process.Grace(time.Minute))
	p.Cancel()
	if err := p.Join(ctx); !errors.Is(err, tristrand.ErrCancelled) {
		t.Errorf("one that is cancelled ends with %v", err)
	}
}

var listen = tristrand.Define("faults.listen", func(ctx context.Context, _ int) (int, error) {
	<-ctx.Done()
	return 0, fmt.Errorf("heard: %w", context.Cause(ctx))
})

// What a Process is given arrives also if it is large, and if many start at once.
func TestInputsOfProcesses(t *testing.T) {
	ctx := adopt(t)
	var all []*process.Process
	for n := range times(6, 60) {
		all = append(all, start(ctx, t, sameBytes.Bind(block{n, []byte(strings.Repeat(string(rune('a'+n%26)), n*n*20_000))})))
	}
	for _, p := range all {
		if err := p.Join(ctx); err != nil {
			t.Error(err)
		}
	}
}

var sameBytes = tristrand.Define("faults.sameBytes", func(_ context.Context, b block) (int, error) {
	if len(b.Data) != b.N*b.N*20_000 {
		return 0, fmt.Errorf("process %d got %d bytes", b.N, len(b.Data))
	}
	for i, x := range b.Data {
		if x != byte('a'+b.N%26) {
			return 0, fmt.Errorf("process %d got %q at %d", b.N, x, i)
		}
	}
	return 0, nil
})

// A task that the worker does not have, and inputs that cannot cross, are errors that
// say what to do.
func TestWhatCannotCross(t *testing.T) {
	ctx := adopt(t)
	p := open(t, &process.Pool{Workers: 1})
	_, err := onlyHere.Call(ctx, p, 1)
	if err == nil || !strings.Contains(err.Error(), `"faults.onlyHere" is not defined in the worker`) || !strings.Contains(err.Error(), "package variable") {
		t.Errorf("a task of the parent alone gives %v", err)
	}
	if err := start(ctx, t, onlyHere.Bind(1)).Join(ctx); err == nil || !strings.Contains(err.Error(), "is not defined in the worker") {
		t.Errorf("in a Process it gives %v", err)
	}
	if _, err := odd.Call(ctx, p, unfit{Good: 1, Inner: []inner{{}, {Bad: make(chan int)}}}); err == nil || !strings.Contains(err.Error(), "input.Inner[].Bad") {
		t.Errorf("a channel in the input gives %v", err)
	}
	if _, err := process.Start(ctx, odd.Bind(unfit{Inner: []inner{{Bad: make(chan int)}}})); err == nil || !strings.Contains(err.Error(), "input.Inner[].Bad") {
		t.Errorf("for a Process it gives %v", err)
	}
	if _, err := oddOutput.Call(ctx, p, 1); err == nil || !strings.Contains(err.Error(), "output") {
		t.Errorf("a channel in the output gives %v", err)
	}
	nameless := tristrand.Func(func(context.Context, int) (int, error) { return 0, nil })
	if _, err := nameless.Call(ctx, p, 1); !errors.Is(err, tristrand.ErrNotPortable) {
		t.Errorf("a closure gives %v", err)
	}
	works(ctx, t, p, 1)
}

type (
	unfit struct {
		Good  int
		Inner []inner
	}
	inner struct{ Bad chan int }
)

var (
	// onlyHere is a task of the first process alone: workers have a parent that is of
	// this binary, too.
	onlyHere = func() *tristrand.Task[int, int] {
		fn := func(_ context.Context, n int) (int, error) { return n, nil }
		if strings.HasPrefix(os.Args[0], "tristrand: ") {
			return tristrand.Func(fn)
		}
		return tristrand.Define("faults.onlyHere", fn)
	}()

	odd       = tristrand.Define("faults.odd", func(context.Context, unfit) (int, error) { return 0, nil })
	oddOutput = tristrand.Define("faults.oddOutput", func(context.Context, int) (inner, error) {
		return inner{Bad: make(chan int)}, nil
	})
)
