package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/tristrand/tristrand/process"
)

func TestMain(m *testing.M) {
	process.Init()
	testscript.Main(m, map[string]func(){"tristrand": main})
}

// TestScripts runs testdata/script: what the command does, told by example.
// Beyond testscript's own commands a script has
//
//	exits CODE command args…        run it; it must end with that exit code
//	interrupted CODE command args…  run it, press Ctrl-C once it has printed
//	unread CODE command args…       run it with a standard output that nobody reads
//
// and $PAGES, a web server: /ok answers at once, /missing with 404, /never not
// at all.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 filepath.Join("testdata", "script"),
		RequireExplicitExec: true,
		Setup:               setup,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits":       exits,
			"interrupted": interruptedBy,
			"unread":      unread,
		},
	})
}

func setup(env *testscript.Env) error {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/ok":
			_, _ = io.WriteString(w, "a page")
		case "/never":
			<-r.Context().Done()
		default:
			http.NotFound(w, r)
		}
	}))
	env.Defer(srv.Close)
	env.Setenv("PAGES", srv.URL)
	tmp := filepath.Join(env.WorkDir, "tmp")
	for _, name := range []string{"TMPDIR", "TMP", "TEMP"} {
		env.Setenv(name, tmp)
	}
	return os.MkdirAll(tmp, 0o755)
}

// wanted reads the exit code that a script expects.
func wanted(ts *testscript.TestScript, neg bool, args []string) (code int, command []string) {
	code, err := strconv.Atoi(append(args, "")[0])
	if neg || err != nil || len(args) < 2 {
		ts.Fatalf("usage: exits|interrupted|unread CODE command args…")
	}
	return code, args[1:]
}

func check(ts *testscript.TestScript, err error, want int) {
	code := 0
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		code = exit.ExitCode()
	case err != nil:
		ts.Fatalf("%v", err)
	}
	if code != want {
		ts.Fatalf("exit code %d, want %d", code, want)
	}
}

func exits(ts *testscript.TestScript, neg bool, args []string) {
	code, command := wanted(ts, neg, args)
	check(ts, ts.Exec(command[0], command[1:]...), code)
}

// program prepares a command with the script's directory and environment. What
// it writes to standard error is shown and returned.
func program(ts *testscript.TestScript, args []string) (*exec.Cmd, *bytes.Buffer) {
	path := args[0]
	for _, dir := range filepath.SplitList(ts.Getenv("PATH")) {
		name := filepath.Join(dir, args[0])
		if runtime.GOOS == "windows" {
			name += ".exe"
		}
		if _, err := os.Stat(name); err == nil {
			path = name
			break
		}
	}
	cmd := exec.Command(path, args[1:]...)
	cmd.Dir = ts.MkAbs(".")
	for _, name := range []string{"PATH", "HOME", "TMPDIR", "TMP", "TEMP", "SYSTEMROOT", "GOCOVERDIR"} {
		if v := ts.Getenv(name); v != "" {
			cmd.Env = append(cmd.Env, name+"="+v)
		}
	}
	stderr := new(bytes.Buffer)
	cmd.Stderr = io.MultiWriter(stderr, ts.Stderr())
	return cmd, stderr
}

func interruptedBy(ts *testscript.TestScript, neg bool, args []string) {
	code, command := wanted(ts, neg, args)
	cmd, _ := program(ts, command)
	out, err := cmd.StdoutPipe()
	ts.Check(err)
	ts.Check(cmd.Start())
	first := make([]byte, 1)
	_, err = out.Read(first)
	ts.Check(err)
	_, err = ts.Stdout().Write(first)
	ts.Check(err)
	ts.Check(cmd.Process.Signal(os.Interrupt))
	_, err = io.Copy(ts.Stdout(), out)
	ts.Check(err)
	check(ts, cmd.Wait(), code)
}

func unread(ts *testscript.TestScript, neg bool, args []string) {
	code, command := wanted(ts, neg, args)
	cmd, stderr := program(ts, command)
	r, w, err := os.Pipe()
	ts.Check(err)
	ts.Check(r.Close())
	cmd.Stdout = w
	err = cmd.Run()
	ts.Check(w.Close())
	check(ts, err, code)
	if strings.Contains(stderr.String(), "goroutine ") {
		ts.Fatalf("it panicked")
	}
}

func TestReport(t *testing.T) {
	for _, row := range []struct {
		name string
		err  error
		code int
		says string
	}{
		{"compare", nil, 0, ""},
		{"compare", errors.New("one\ntwo"), 1, "tristrand compare: one; two\n"},
		{"run", exitError{errors.New("3 jobs failed"), 3}, 3, "tristrand run: 3 jobs failed\n"},
		{"run", exitError{errors.New(""), 7}, 7, ""},
		{"", fmt.Errorf("wrapped: %w", exitError{errors.New("x"), 9}), 9, "tristrand: wrapped: x\n"},
	} {
		var b bytes.Buffer
		if code := report(&b, row.name, row.err); code != row.code || b.String() != row.says {
			t.Errorf("report(%q, %v) = %d and says %q, want %d and %q", row.name, row.err, code, b.String(), row.code, row.says)
		}
	}
}
