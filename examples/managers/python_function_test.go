package managers_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/process"
)

// guest is a module as a Python programmer would write it: it knows nothing of Go.
const guest = `
import time

def shout(text, *, times=1):
    return text.upper() + "!" * times

def dozens(n):
    if n < 0:
        raise ValueError("fewer than none")
    return n // 12

def checksum(data):
    return sum(data[::4096])

def nap(seconds):
    time.sleep(seconds)
`

// Each function is a task like those that are written in Go.
var (
	shout    = process.PythonTask[process.Args, string]("guest:shout")
	dozens   = process.PythonTask[int, int]("guest:dozens")
	checksum = process.PythonTask[[]byte, int]("guest:checksum")
	nap      = process.PythonTask[float64, any]("guest:nap")
)

// interpreters has Python's worker processes for a test.
func interpreters(t *testing.T) *process.Python {
	t.Helper()
	if _, err := exec.LookPath("python3"); err != nil {
		t.Skip("the machine has no python3")
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "guest.py"), []byte(guest), 0o600); err != nil {
		t.Fatal(err)
	}
	pool := &process.Python{Workers: 2, Path: []string{dir}}
	t.Cleanup(func() {
		if err := pool.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return pool
}

// A Go program calls functions of a Python module in Python's own processes: with
// keyword arguments, for many inputs at once, with megabytes of bytes, which go
// through shared memory.
func TestPythonFunction(t *testing.T) {
	ctx, pool := t.Context(), interpreters(t)
	v, err := shout.Call(ctx, pool, process.Args{Args: []any{"noodle"}, Kwargs: map[string]any{"times": 3}})
	if v != "NOODLE!!!" || err != nil {
		t.Errorf("shout: %q, %v", v, err)
	}
	var got []int
	for n, err := range dozens.Map(ctx, pool, slices.Values([]int{12, 30, 144})) {
		if err != nil {
			t.Error(err)
		}
		got = append(got, n)
	}
	if !slices.Equal(got, []int{1, 2, 12}) {
		t.Errorf("dozens are %v", got)
	}
	if n, err := checksum.Call(ctx, pool, slices.Repeat([]byte{1}, 8<<20)); n != 2048 || err != nil {
		t.Errorf("the checksum of 8 MiB is %d, %v", n, err)
	}
}

// What a Python function raises is an error with the traceback in it. One that
// takes too long is killed, and with it the interpreter: the next job has another.
func TestPythonFunctionFails(t *testing.T) {
	ctx, pool := t.Context(), interpreters(t)
	_, err := dozens.Call(ctx, pool, -1)
	raised, ok := errors.AsType[*process.PythonError](err)
	if !ok || raised.Error() != "ValueError: fewer than none" || !strings.Contains(raised.Traceback, "in dozens") {
		t.Errorf("dozens(-1): %v", err)
	}
	if _, err := nap.Call(ctx, pool, 600, tristrand.Timeout(100*time.Millisecond)); !errors.Is(err, tristrand.ErrTimeout) {
		t.Errorf("a nap of ten minutes within 100 ms: %v", err)
	}
	if n, err := dozens.Call(ctx, pool, 24); n != 2 || err != nil {
		t.Errorf("dozens(24) afterwards: %d, %v", n, err)
	}
}
