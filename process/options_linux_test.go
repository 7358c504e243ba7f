package process_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/process"
)

// surroundings writes where its process runs, and with what.
var surroundings = tristrand.Define("options.surroundings", func(context.Context, int) (int, error) {
	dir, err := os.Getwd()
	if err != nil {
		return 0, err
	}
	var cpus unix.CPUSet
	if err := unix.SchedGetaffinity(0, &cpus); err != nil {
		return 0, err
	}
	fmt.Println(dir, os.Getenv("COLOUR"), os.Getenv("HOME") == "", cpus.Count(), cpus.IsSet(0))
	return 0, nil
})

// eatUp takes n bytes, and uses them.
var eatUp = tristrand.Define("options.eatUp", func(_ context.Context, n int) (int, error) {
	debug.SetGCPercent(-1)
	b := make([]byte, n)
	for i := 0; i < n; i += 4096 {
		b[i] = 1
	}
	return len(b), nil
})

func TestOptionsOfAProcess(t *testing.T) {
	t.Parallel()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	p, err := process.Start(t.Context(), surroundings.Bind(0), process.Dir(dir), process.Env("COLOUR=blue"),
		process.CPUs(0), process.Output(&out, nil), process.Name("resident"))
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Join(t.Context()); err != nil {
		t.Fatal(err)
	}
	if want := dir + " blue true 1 true\n"; out.String() != want {
		t.Errorf("it ran in %q, want %q", out.String(), want)
	}
}

func TestMemoryLimitOfAProcess(t *testing.T) {
	if racing {
		t.Skip("the race detector takes memory of its own, so that there is no limit")
	}
	t.Parallel()
	for need, dies := range map[int]bool{1 << 20: false, 512 << 20: true} {
		p, err := process.Start(t.Context(), eatUp.Bind(need), process.MemoryLimit(256<<20), process.Output(nil, new(bytes.Buffer)))
		if err != nil {
			t.Fatal(err)
		}
		err = p.Join(t.Context())
		var exit *process.ExitError
		if dies != errors.As(err, &exit) || dies && !exit.OutOfMemory {
			t.Errorf("%d bytes with a limit of 256 MiB: %v", need, err)
		}
	}
}
