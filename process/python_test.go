package process_test

import (
	"bytes"
	"context"
	"errors"
	"math"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/process"
)

var (
	pyHypot  = process.PythonTask[process.Args, float64]("math:hypot")
	pyEcho   = process.PythonTask[any, any]("guest:echo")
	pyBytes  = process.PythonTask[[]byte, []byte]("guest:flip")
	pyFail   = process.PythonTask[string, int]("guest:fail")
	pyKwargs = process.PythonTask[process.Args, []any]("guest:kwargs")
	pyExit   = process.PythonTask[int, int]("os:_exit")
	pySleep  = process.PythonTask[float64, any]("time:sleep")
	pySquare = process.PythonTask[int, int]("guest:square")
	pyPrint  = process.PythonTask[string, any]("builtins:print")
	pyHog    = process.PythonTask[int, int]("guest:hog")
	pyNone   = process.PythonTask[int, int]("guest:nothing_of_that_name")
)

const guest = `
def echo(v): return v
def flip(b): return bytes(255 - x for x in b[:16]) + b[16:]
def fail(text): raise KeyError(text)
def kwargs(a, *, b=1): return [a, b]
def square(n):
    if n == 5: raise ValueError("five")
    return n * n
def hog(mib): return len(bytearray(mib << 20))
`

func newPython(t *testing.T, y *process.Python) *process.Python {
	t.Helper()
	if _, err := exec.LookPath("python3"); err != nil {
		t.Skip("python3 is not installed")
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "guest.py"), []byte(guest), 0o600); err != nil {
		t.Fatal(err)
	}
	y.Path = []string{dir}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if err := y.Close(ctx); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return y
}

// printed collects what workers print.
type printed struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (p *printed) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.buf.Write(b)
}

func (p *printed) String() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.buf.String()
}

func TestPythonFunctions(t *testing.T) {
	ctx := t.Context()
	var printed printed
	y := newPython(t, &process.Python{Workers: 1, Stdout: &printed})
	if v, err := pyHypot.Call(ctx, y, process.Args{Args: []any{3, 4}}); v != 5 || err != nil {
		t.Errorf("math.hypot(3, 4) is %v, %v", v, err)
	}
	if v, err := pyKwargs.Call(ctx, y, process.Args{Args: []any{"x"}, Kwargs: map[string]any{"b": true}}); err != nil ||
		!slices.Equal(v, []any{"x", true}) {
		t.Errorf("keyword arguments give %v, %v", v, err)
	}
	for _, v := range []any{nil, true, int64(-1 << 62), uint64(math.MaxUint64), 0.25, "tschüß \xff", []any{int64(1), "a"}} {
		got, err := pyEcho.Call(ctx, y, v)
		if u, ok := v.(uint64); ok {
			if g, ok := got.(big.Int); !ok || g.Uint64() != u {
				t.Errorf("%v comes back as %v (%T), %v", v, got, got, err)
			}
			continue
		}
		if l, ok := v.([]any); ok {
			if g, ok := got.([]any); !ok || !slices.Equal(g, l) {
				t.Errorf("%v comes back as %v, %v", v, got, err)
			}
			continue
		}
		if got != v || err != nil {
			t.Errorf("%v comes back as %v (%T), %v", v, got, got, err)
		}
	}
	for _, n := range []int{0, 100, 100_000, 5 << 20} {
		in := bytes.Repeat([]byte{1}, n)
		out, err := pyBytes.Call(ctx, y, in)
		if err != nil || len(out) != n || n > 16 && (out[0] != 254 || out[16] != 1) {
			t.Errorf("%d bytes come back as %d, %v", n, len(out), err)
		}
	}
	if _, err := pyPrint.Call(ctx, y, "hello"); err != nil {
		t.Error(err)
	}
	for began := time.Now(); !strings.Contains(printed.String(), "hello\n"); time.Sleep(time.Millisecond) {
		if time.Since(began) > 20*time.Second {
			t.Fatalf("what the function printed came as %q", &printed)
		}
	}
	var got []int
	var failed int
	for v, err := range pySquare.Map(ctx, y, slices.Values([]int{1, 2, 3, 4, 5, 6, 7}), tristrand.Chunk(3)) {
		if err != nil {
			failed++
		}
		got = append(got, v)
	}
	if want := []int{1, 4, 9, 16, 0, 36, 49}; !slices.Equal(got, want) || failed != 1 {
		t.Errorf("Map gives %v with %d failures, want %v and 1", got, failed, want)
	}
}

func TestPythonFailures(t *testing.T) {
	ctx := t.Context()
	y := newPython(t, &process.Python{Workers: 1, MemoryLimitBytes: 256 << 20})
	var p *process.PythonError
	if _, err := pyFail.Call(ctx, y, "gone"); !errors.As(err, &p) || p.Type != "builtins.KeyError" || p.Text != "'gone'" ||
		!strings.Contains(p.Traceback, "in fail") {
		t.Errorf("an exception comes as %#v", err)
	}
	if _, err := pyNone.Call(ctx, y, 1); !errors.As(err, &p) || p.Type != "builtins.AttributeError" {
		t.Errorf("a missing function gives %v", err)
	}
	if _, err := pyHog.Call(ctx, y, 1024); !errors.As(err, &p) || p.Type != "builtins.MemoryError" {
		t.Errorf("a gigabyte under a limit of 256 MiB gives %v", err)
	}
	var x *process.ExitError
	if _, err := pyExit.Call(ctx, y, 3); !errors.As(err, &x) || x.Code != 3 {
		t.Errorf("os._exit(3) gives %v", err)
	}
	if _, err := pySleep.Call(ctx, y, 60, tristrand.Timeout(100*time.Millisecond)); !errors.Is(err, tristrand.ErrTimeout) {
		t.Errorf("a sleep beyond its time gives %v", err)
	}
	if v, err := pySquare.Call(ctx, y, 3); v != 9 || err != nil {
		t.Errorf("after all that a job gives %v, %v", v, err)
	}
	if st := y.Stats(); st.Restarts != 2 {
		t.Errorf("the pool counts %+v, want two restarts", st)
	}
	if _, err := taskPID.Submit(ctx, y, 1).Result(ctx); !errors.Is(err, tristrand.ErrNotPortable) {
		t.Errorf("a Go task on a Python pool gives %v", err)
	}
	pool := &process.Pool{Workers: 1}
	defer pool.Close(ctx)
	if _, err := pySquare.Call(ctx, pool, 3); err == nil || !strings.Contains(err.Error(), "process.Python") {
		t.Errorf("a Python task on a Go pool gives %v", err)
	}
}

func TestPythonThatIsNotThere(t *testing.T) {
	y := &process.Python{Workers: 1, Interpreter: "no-such-python"}
	defer y.Close(t.Context())
	if _, err := pySquare.Call(t.Context(), y, 3); err == nil || !strings.Contains(err.Error(), "no-such-python") {
		t.Errorf("a pool without an interpreter gives %v", err)
	}
}

var taskPID = tristrand.Define("test.pid", func(context.Context, int) (int, error) { return os.Getpid(), nil })
