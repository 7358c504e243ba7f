//go:build unix

package launch_test

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tristrand/tristrand/cmd/tristrand/internal/launch"
)

// shell is a command of sh text.
func shell(t *testing.T, text string, out, errs io.Writer) *launch.Command {
	t.Helper()
	return &launch.Command{Path: find(t, "sh"), Args: []string{"sh", "-c", text}, Stdout: out, Stderr: errs}
}

func find(t testing.TB, name string) string {
	t.Helper()
	path, err := launch.LookPath(name)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func newLauncher(t *testing.T, l *launch.Launcher) *launch.Launcher {
	t.Cleanup(l.Close)
	return l
}

func TestOutputAndStatus(t *testing.T) {
	for _, row := range []struct {
		name, text, out, errs string
		exit                  launch.Exit
	}{
		{"both streams, apart", "echo out; echo err >&2", "out\n", "err\n", launch.Exit{}},
		{"a code", "exit 7", "", "", launch.Exit{Code: 7}},
		{"a signal", "kill -9 $$", "", "", launch.Exit{Code: -1, Signal: 9}},
		{"streams closed early", "exec >&- 2>&-; exit 3", "", "", launch.Exit{Code: 3}},
		{"what a background process writes later", "(sleep 0.1; echo late) & echo early", "early\nlate\n", "", launch.Exit{}},
		{"a stream opened by its name", "echo a >&2; echo b >/dev/stderr; echo c >&2", "", "a\nb\nc\n", launch.Exit{}},
		{"no standard input", "cat", "", "", launch.Exit{}},
	} {
		t.Run(row.name, func(t *testing.T) {
			l := newLauncher(t, &launch.Launcher{})
			var out, errs strings.Builder
			exit, err := l.Run(t.Context(), shell(t, row.text, &out, &errs))
			if err != nil || exit != row.exit || out.String() != row.out || errs.String() != row.errs {
				t.Errorf("got %+v, %v, %q, %q; want %+v, %q, %q", exit, err, out.String(), errs.String(), row.exit, row.out, row.errs)
			}
		})
	}
}

// A time-out reaches the whole process group, whatever it does about SIGTERM.
func TestTimeoutEndsTheGroup(t *testing.T) {
	for name, text := range map[string]string{
		"that heeds SIGTERM":          `sleep 100 & echo $! >pid; wait`,
		"that ignores SIGTERM":        `trap "" TERM; sleep 100 & echo $! >pid; wait; sleep 100; sleep 100`,
		"whose leader is gone":        `sleep 100 & echo $! >pid`,
		"whose member ignores it":     `(trap "" TERM; exec sleep 100) & echo $! >pid; wait`,
		"that prints for itself":      `sleep 100 >/dev/null 2>&1 & echo $! >pid; wait`,
		"that is suspended meanwhile": `sleep 100 & echo $! >pid; kill -STOP $$`,
	} {
		t.Run("a group "+name, func(t *testing.T) {
			t.Chdir(t.TempDir())
			l := newLauncher(t, &launch.Launcher{Grace: 50 * time.Millisecond})
			c := shell(t, text, io.Discard, io.Discard)
			if name == "that prints for itself" {
				c.Stdout, c.Stderr = nil, nil
			}
			c.Timeout = time.Second
			exit, err := l.Run(t.Context(), c)
			if err != nil || !exit.TimedOut || exit.Stopped {
				t.Errorf("got %+v, %v; want a time-out", exit, err)
			}
			gone(t, "pid")
		})
	}
}

// gone fails if the process whose id is in a file goes on.
func gone(t *testing.T, file string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	for range 200 {
		// One whose parent is gone stays a zombie where nobody reaps it.
		stat, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
		if syscall.Kill(pid, 0) != nil || (err == nil && strings.Contains(string(stat), ") Z ")) {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("process %d goes on", pid)
}

func TestEndOfContextStops(t *testing.T) {
	t.Chdir(t.TempDir())
	l := newLauncher(t, &launch.Launcher{})
	ctx, cancel := context.WithCancel(t.Context())
	begun := writerFunc(func(p []byte) (int, error) {
		cancel()
		return len(p), nil
	})
	exit, err := l.Run(ctx, shell(t, "echo $$ >pid; echo begun; sleep 100", begun, io.Discard))
	if err != nil || !exit.Stopped || exit.Signal != int(syscall.SIGTERM) {
		t.Errorf("got %+v, %v; want it stopped by SIGTERM", exit, err)
	}
	gone(t, "pid")
	exit, err = l.Run(ctx, shell(t, "touch ran", io.Discard, io.Discard))
	if _, stat := os.Stat("ran"); err != nil || !exit.Stopped || stat == nil {
		t.Errorf("got %+v, %v: it ran after the end of its ctx", exit, err)
	}
}

type writerFunc func(p []byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func TestKillEndsAllAtOnce(t *testing.T) {
	l := newLauncher(t, &launch.Launcher{Grace: time.Hour})
	begun := make(chan struct{}, 2)
	note := writerFunc(func(p []byte) (int, error) {
		begun <- struct{}{}
		return len(p), nil
	})
	exits := make(chan launch.Exit)
	for range 2 {
		go func() {
			exit, _ := l.Run(t.Context(), shell(t, `trap "" TERM; echo; sleep 100; sleep 100`, note, io.Discard))
			exits <- exit
		}()
	}
	<-begun
	<-begun
	l.Kill()
	want := launch.Exit{Code: -1, Signal: int(syscall.SIGKILL), Stopped: true}
	for range 2 {
		if exit := <-exits; exit != want {
			t.Errorf("got %+v, want %+v", exit, want)
		}
	}
	if exit, err := l.Run(t.Context(), shell(t, "sleep 100", io.Discard, io.Discard)); err != nil || exit != want {
		t.Errorf("one started after Kill: %+v, %v; want %+v", exit, err, want)
	}
}

func TestOutputThatCannotBeKept(t *testing.T) {
	l := newLauncher(t, &launch.Launcher{Grace: time.Hour})
	full := errors.New("no room")
	_, err := l.Run(t.Context(), shell(t, `trap "" TERM; echo; sleep 100; sleep 100`,
		writerFunc(func([]byte) (int, error) { return 0, full }), io.Discard))
	var output *launch.OutputError
	if !errors.As(err, &output) || !errors.Is(err, full) {
		t.Errorf("got %v, want an OutputError", err)
	}
}

// The reader of the parent's own output is watched while children run.
func TestHangup(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	l := newLauncher(t, &launch.Launcher{Watch: w})
	ctx, cancel := context.WithCancel(t.Context())
	l.Hangup = cancel
	if launch.HungUp(w) {
		t.Error("the reader is said to be gone")
	}
	begun := writerFunc(func(p []byte) (int, error) { return len(p), r.Close() })
	exit, err := l.Run(ctx, shell(t, "echo; sleep 100", begun, io.Discard))
	if err != nil || !exit.Stopped {
		t.Errorf("got %+v, %v; want it stopped", exit, err)
	}
	if !launch.HungUp(w) {
		t.Error("the reader is not said to be gone")
	}
}

func TestStartErrors(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	long := strings.Repeat("x", 5<<20)
	for _, row := range []struct {
		name string
		path string
		arg  string
		code int
		says string
	}{
		{"a missing program", filepath.Join(dir, "missing"), "", 127, "no such file"},
		{"a missing interpreter", write("script", "#!/no/such\n", 0o755), "", 127, "interpreter"},
		{"not executable", write("plain", "", 0o644), "", 126, "permission denied"},
		{"an argument with NUL", find(t, "true"), "a\x00b", 126, "NUL"},
		{"an argument too long", find(t, "true"), long, 126, "5242880 bytes"},
	} {
		t.Run(row.name, func(t *testing.T) {
			l := newLauncher(t, &launch.Launcher{})
			_, err := l.Run(t.Context(), &launch.Command{Path: row.path, Args: []string{"x", row.arg}, Stdout: io.Discard, Stderr: io.Discard})
			var start *launch.StartError
			if !errors.As(err, &start) || start.Code != row.code || !strings.Contains(err.Error(), row.says) {
				t.Errorf("got %v; want code %d and %q", err, row.code, row.says)
			}
		})
	}
	t.Run("a name that PATH does not know", func(t *testing.T) {
		_, err := launch.LookPath("no-such-program-anywhere")
		var start *launch.StartError
		if !errors.As(err, &start) || start.Code != 127 {
			t.Errorf("got %v, want code 127", err)
		}
	})
}

// As xargs and shells do, through execvp.
func TestScriptWithoutInterpreterIsRunBySh(t *testing.T) {
	path := filepath.Join(t.TempDir(), "script")
	if err := os.WriteFile(path, []byte("echo got $1"), 0o755); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	l := newLauncher(t, &launch.Launcher{})
	if _, err := l.Run(t.Context(), &launch.Command{Path: path, Args: []string{path, "it"}, Stdout: &out, Stderr: io.Discard}); err != nil || out.String() != "got it\n" {
		t.Errorf("got %q, %v", out.String(), err)
	}
}

// A process that has left the group holds the pipe open after the kill: it is
// not waited for without end.
func TestEscapedHolderIsLeft(t *testing.T) {
	if _, err := launch.LookPath("setsid"); err != nil {
		t.Skip(err)
	}
	t.Chdir(t.TempDir())
	l := newLauncher(t, &launch.Launcher{Grace: 50 * time.Millisecond})
	c := shell(t, `setsid sh -c 'echo $$ >pid; exec sleep 100' & while ! [ -s pid ]; do sleep 0.01; done`, io.Discard, io.Discard)
	c.Timeout = time.Second
	exit, err := l.Run(t.Context(), c)
	if err != nil || !exit.TimedOut {
		t.Errorf("got %+v, %v; want a time-out", exit, err)
	}
	text, err := os.ReadFile("pid")
	if err != nil {
		t.Fatal(err)
	}
	pid, _ := strconv.Atoi(strings.TrimSpace(string(text)))
	if pid > 1 {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
}

// No descriptor of one child reaches another, and none stays open.
func TestNoDescriptorLeaks(t *testing.T) {
	if _, err := os.Stat("/proc/self/fd"); err != nil {
		t.Skip(err)
	}
	l := newLauncher(t, &launch.Launcher{})
	count := func() int {
		fds, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(fds)
	}
	done := make(chan string)
	run := func() {
		var out strings.Builder
		_, _ = l.Run(t.Context(), shell(t, "ls /proc/self/fd | wc -l", &out, io.Discard))
		done <- strings.TrimSpace(out.String())
	}
	go run()
	alone := <-done // with those that this process was started with
	before := count()
	for range 20 {
		for range 8 {
			go run()
		}
		for range 8 {
			if got := <-done; got != alone {
				t.Fatalf("a child has %s descriptors among others, %s alone", got, alone)
			}
		}
	}
	if after := count(); after > before {
		t.Errorf("%d descriptors before, %d after", before, after)
	}
}

func BenchmarkTrue(b *testing.B) {
	path := find(b, "true")
	for name, taken := range map[string]bool{"output=inherited": false, "output=taken": true} {
		b.Run(name, func(b *testing.B) {
			l := &launch.Launcher{}
			defer l.Close()
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				c := &launch.Command{Path: path, Args: []string{"true"}}
				if taken {
					c.Stdout, c.Stderr = io.Discard, io.Discard
				}
				for pb.Next() {
					if exit, err := l.Run(b.Context(), c); err != nil || exit != (launch.Exit{}) {
						b.Error(exit, err)
					}
				}
			})
		})
	}
}
