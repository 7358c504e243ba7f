package manager_test

import (
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tristrand/tristrand/manager"
)

var testKey = []byte("secret")

// pythons returns the interpreters that the machine has, of different versions
// that can be clients; with -short, one.
func pythons(tb testing.TB) []string {
	tb.Helper()
	found, _ := filepath.Glob(filepath.Join(os.Getenv("HOME"), ".pyenv/versions/3.*/bin/python3"))
	if p, err := exec.LookPath("python3"); err == nil {
		found = append([]string{p}, found...)
	}
	var out, seen []string
	for _, p := range found {
		v, err := exec.Command(p, "-c", "import sys; print('%d.%d' % sys.version_info[:2]); assert sys.version_info >= (3, 8)").Output()
		if version := strings.TrimSpace(string(v)); err == nil && !slices.Contains(seen, version) {
			out, seen = append(out, p), append(seen, version)
		}
	}
	if testing.Short() {
		out = out[:min(len(out), 1)]
	}
	if len(out) == 0 {
		tb.Skip("the machine has no python3 of 3.8 or later")
	}
	return out
}

// serve runs a server on an address until the test ends, and returns where it
// listens.
func serve(tb testing.TB, s *manager.Server, address string) net.Addr {
	tb.Helper()
	l, err := manager.Listen(address)
	if err != nil {
		tb.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, l) }()
	tb.Cleanup(func() {
		cancel()
		select {
		case err := <-done:
			if !errors.Is(err, context.Canceled) && !errors.Is(err, manager.ErrServerClosed) {
				tb.Errorf("Serve: %v", err)
			}
		case <-time.After(time.Minute):
			buf := make([]byte, 1<<20)
			tb.Errorf("the server does not end:\n%s", buf[:runtime.Stack(buf, true)])
		}
	})
	return l.Addr()
}

// TestClientCheck runs every check of Python's own client library against the
// server, with every Python that there is. Most of a run is waiting: a few go on
// at once, each with a server of its own.
func TestClientCheck(t *testing.T) {
	turn := make(chan struct{}, 4)
	var runs []*checked
	for i, py := range pythons(t) {
		for _, address := range []string{"127.0.0.1:0", filepath.Join(t.TempDir(), "s"), "@tristrand-test-" + filepath.Base(t.TempDir())} {
			if i > 0 && address != "127.0.0.1:0" || runtime.GOOS != "linux" && address[0] == '@' {
				continue // one interpreter is enough for the kinds of sockets
			}
			at := serve(t, &manager.Server{AuthKey: testKey}, address)
			r := &checked{name: py + " " + address, over: make(chan struct{})}
			runs = append(runs, r)
			go func() {
				defer close(r.over)
				turn <- struct{}{}
				defer func() { <-turn }()
				cmd := exec.CommandContext(t.Context(), py, "testdata/client_check.py", at.String(), "--set", "--shutdown", "--timeout", "100")
				r.out, r.err = cmd.CombinedOutput()
			}()
		}
	}
	for _, r := range runs {
		t.Run(r.name, r.judge)
	}
}

// checked is a run of client_check.py.
type checked struct {
	name string
	over chan struct{}
	out  []byte
	err  error
}

// judge waits for its end.
func (c *checked) judge(t *testing.T) {
	<-c.over
	passed := 0
	for line := range strings.Lines(string(c.out)) {
		line = strings.TrimSuffix(line, "\n")
		switch {
		case strings.HasPrefix(line, "ok "):
			passed++
		case strings.HasPrefix(line, "skip ") && (strings.Contains(line, "client has no") || strings.Contains(line, ": no ")):
		case strings.HasPrefix(line, "FAIL "):
			t.Error(line)
		default:
			t.Log(line)
		}
	}
	if c.err != nil || passed < 125 {
		t.Errorf("%d checks passed: %v", passed, c.err)
	}
}

// TestPythonData: what is data in Python's library is kept as it is.
func TestPythonData(t *testing.T) { checkWithPythons(t, "testdata/data_check.py") }

// TestPythonShapes: shared containers take what plain ones do.
func TestPythonShapes(t *testing.T) { checkWithPythons(t, "testdata/shapes_check.py") }

func checkWithPythons(t *testing.T, script string) {
	at := serve(t, &manager.Server{AuthKey: testKey}, "127.0.0.1:0")
	for _, py := range pythons(t) {
		out, err := exec.CommandContext(t.Context(), py, script, at.String()).CombinedOutput()
		if err != nil || strings.TrimSpace(string(out)) != "ok" {
			t.Errorf("%s: %v\n%s", py, err, out)
		}
	}
}
