//go:build linux

package processes_test

import (
	"bytes"
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

var misbehave = tristrand.Define("examples.processes.misbehave", func(_ context.Context, how string) (string, error) {
	switch how {
	case "crash":
		if err := syscall.Kill(os.Getpid(), syscall.SIGSEGV); err != nil {
			return "", err
		}
		time.Sleep(time.Minute) // any thread may get the signal, so this one would go on
	case "exit":
		fmt.Fprintln(os.Stderr, "I have had enough")
		os.Exit(7)
	case "eat":
		for all := [][]byte{}; ; all = append(all, bytes.Repeat([]byte{1}, 1<<20)) {
			if len(all) > 1<<20 {
				break
			}
		}
	case "loop":
		for n := 0; ; n++ {
			if n < 0 {
				break
			}
		}
	}
	return how, nil
})

// P12: whatever a job does to its process, it fails alone: with the signal or the code,
// and the last words; the endless one is killed when its time is up.
func TestCrashes(t *testing.T) {
	ctx := t.Context()
	pool := &process.Pool{Workers: 1, MemoryLimitBytes: 256 << 20, JobGrace: 10 * time.Millisecond, Stderr: new(strings.Builder)}
	for how, check := range map[string]func(e *process.ExitError, err error) bool{
		"crash": func(e *process.ExitError, _ error) bool { return strings.Contains(e.Error(), "SIGSEGV") },
		"exit": func(e *process.ExitError, _ error) bool {
			return e.Code == 7 && strings.Contains(e.Stderr, "I have had enough")
		},
		"eat": func(e *process.ExitError, _ error) bool { return e.OutOfMemory },
		"loop": func(e *process.ExitError, err error) bool {
			return errors.Is(err, tristrand.ErrTimeout) && e.Signal != 0
		},
	} {
		var opts []tristrand.CallOption
		if how == "loop" {
			opts = append(opts, tristrand.Timeout(100*time.Millisecond))
		}
		_, err := misbehave.Submit(ctx, pool, how, opts...).Result(ctx)
		t.Logf("%s: %v", how, err)
		var exit *process.ExitError
		if !errors.As(err, &exit) || !check(exit, err) {
			t.Errorf("%s: %v", how, err)
		}
		if got, err := misbehave.Call(ctx, pool, "well"); got != "well" || err != nil {
			t.Errorf("the next job after %s: %q, %v", how, got, err)
		}
	}
	if err := pool.Close(ctx); err != nil {
		t.Error(err)
	}
}
