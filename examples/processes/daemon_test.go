//go:build linux

package processes_test

import (
	"context"
	"errors"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/process"
	"github.com/tristrand/tristrand/strand"
)

var sleepy = tristrand.Define("examples.processes.sleepy", func(ctx context.Context, d time.Duration) (struct{}, error) {
	return struct{}{}, strand.Sleep(ctx, d)
})

var leave = tristrand.Define("examples.processes.leave", func(_ context.Context, code int) (struct{}, error) {
	os.Exit(code)
	return struct{}{}, nil
})

// P11: a daemon, a join with a time-out, is it alive, terminate, exit code. That a
// daemon does not keep the program up, TestProgramEnds shows for pools.
func TestDaemon(t *testing.T) {
	ctx := t.Context()
	p, err := process.Start(ctx, sleepy.Bind(time.Hour), process.Daemon(), process.Name("sleepy"))
	if err != nil {
		t.Fatal(err)
	}
	short, cancel := strand.WithTimeout(ctx, 20*time.Millisecond)
	defer cancel()
	if err := p.Join(short); !errors.Is(err, context.DeadlineExceeded) { // p.join(0.02)
		t.Errorf("a join with a time-out: %v", err)
	}
	if !p.Alive() || p.ExitCode() != -1 {
		t.Errorf("alive %v, exit code %d; want true and -1", p.Alive(), p.ExitCode())
	}
	p.Terminate()
	var exit *process.ExitError
	if err := p.Join(ctx); !errors.As(err, &exit) || exit.Signal != syscall.SIGTERM {
		t.Errorf("terminated: %v", err)
	}
	if p.Alive() || p.ExitCode() != -int(syscall.SIGTERM) { // as Python has it
		t.Errorf("alive %v, exit code %d; want false and -15", p.Alive(), p.ExitCode())
	}
}

func TestExitCodes(t *testing.T) {
	ctx := t.Context()
	for task, want := range map[string]struct {
		bound  tristrand.Bound
		code   int
		failed bool
	}{
		"returns": {sleepy.Bind(0), 0, false},
		"leaves":  {leave.Bind(3), 3, true},
	} {
		p, err := process.Start(ctx, want.bound)
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Join(ctx); (err != nil) != want.failed || p.ExitCode() != want.code || p.Failed() != want.failed {
			t.Errorf("one that %s: %v, exit code %d; want %d", task, err, p.ExitCode(), want.code)
		}
	}
}
