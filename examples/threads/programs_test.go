package threads_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"testing"

	"github.com/tristrand/tristrand/process"
	"github.com/tristrand/tristrand/thread"
)

// Some scenarios show how a whole program ends. Each is a main function in this
// table; the test runs its own binary again, as that program.
var programs = map[string]func(ctx context.Context) error{
	"only daemons":          onlyDaemons,
	"short and long daemon": shortAndLongDaemon,
}

const programEnv = "TRISTRAND_EXAMPLE_PROGRAM"

func TestMain(m *testing.M) {
	process.Init()
	if name := os.Getenv(programEnv); name != "" {
		if err := thread.Main(programs[name]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// runProgram runs a program of the table until it ends and returns what it
// printed.
func runProgram(t *testing.T, name string) string {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), exe)
	cmd.Env = append(os.Environ(), programEnv+"="+name)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return string(out)
}
