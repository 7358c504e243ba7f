//go:build linux

package processes_test

import (
	"context"
	"os"
	"os/exec"
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

// programs are whole programs: the tests run their own binary again, as one of them.
var programs = map[string]func(ctx context.Context) error{
	"forgotten": func(ctx context.Context) error {
		submitted(ctx, "done")
		return nil // the pool is closed, and its jobs are done before
	},
	"closed": func(ctx context.Context) error {
		return submitted(ctx, "done").Close(ctx)
	},
	"terminated": func(ctx context.Context) error {
		return submitted(ctx, "for ever").Terminate()
	},
	"killed": func(ctx context.Context) error {
		submitted(ctx, "for ever")
		<-ctx.Done()
		return nil
	},
}

const programKey = "TRISTRAND_EXAMPLE_PROGRAM"

func TestMain(m *testing.M) {
	defineChain()
	if name := os.Getenv(programKey); name != "" {
		process.Main(programs[name])
	}
	process.Init() // a worker of these tests does not return from it
	os.Exit(m.Run())
}

// noted writes its process id into a file, and another file when it is done.
var noted = tristrand.Define("examples.processes.noted", func(ctx context.Context, how string) (int, error) {
	pid := os.Getpid()
	if err := os.WriteFile("pid-"+strconv.Itoa(pid), nil, 0o600); err != nil {
		return 0, err
	}
	if how == "for ever" {
		for { // and does not even look at its ctx
			time.Sleep(time.Hour)
		}
	}
	if err := strand.Sleep(ctx, 20*time.Millisecond); err != nil {
		return 0, err
	}
	f, err := os.CreateTemp(".", "done-")
	if err != nil {
		return 0, err
	}
	return pid, f.Close()
})

// submitted returns a pool that has got four jobs, of which both workers have begun one.
func submitted(ctx context.Context, how string) *process.Pool {
	pool := &process.Pool{Workers: 2, JobGrace: 10 * time.Millisecond}
	if err := pool.Start(ctx); err != nil { // both, or one alone may do all the jobs before the other is there
		panic(err)
	}
	for range 4 {
		noted.Submit(ctx, pool, how)
	}
	for len(files("pid-*")) < 2 {
		time.Sleep(time.Millisecond)
	}
	return pool
}

func files(pattern string) []string {
	names, err := filepath.Glob(pattern)
	if err != nil {
		panic(err)
	}
	return names
}

// P10: the documented outcome of each way to end, and no orphan, ever.
func TestProgramEnds(t *testing.T) {
	for name, done := range map[string]int{"forgotten": 4, "closed": 4, "terminated": 0, "killed": 0} {
		t.Run(name, func(t *testing.T) {
			t.Chdir(t.TempDir())
			exe, err := os.Executable()
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			cmd := exec.CommandContext(ctx, exe)
			cmd.Env = append(os.Environ(), programKey+"="+name)
			cmd.Stderr = os.Stderr
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			if name == "killed" {
				awaits(t, "both workers to begin", func() bool { return len(files("pid-*")) == 2 })
				if err := cmd.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
			if err := cmd.Wait(); (err == nil) == (name == "killed") {
				t.Errorf("the program: %v", err)
			}
			if n := len(files("done-*")); n != done {
				t.Errorf("%d jobs were done, want %d", n, done)
			}
			for _, file := range files("pid-*") {
				pid, err := strconv.Atoi(strings.TrimPrefix(file, "pid-"))
				if err != nil {
					t.Fatal(err)
				}
				awaits(t, "no orphan", func() bool { return gone(pid) })
			}
		})
	}
}

// gone reports whether a process has ended; one that nobody reaps has.
func gone(pid int) bool {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	return syscall.Kill(pid, 0) != nil || err == nil && strings.Contains(string(stat), ") Z ")
}

// awaits waits until something is so.
func awaits(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}
