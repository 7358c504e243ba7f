package managers_test

import (
	"context"
	"os"
	"os/exec"
	"strconv"
	"testing"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/manager"
	"github.com/tristrand/tristrand/process"
)

func TestMain(m *testing.M) {
	process.Init()
	os.Exit(m.Run())
}

// fibonacci is a task of the Go program. Its name is what Python calls it.
var fibonacci = tristrand.Define("sums.fibonacci", func(_ context.Context, n int) ([]int, error) {
	a, b := 0, 1
	for range n {
		a, b = b, a+b
	}
	return []int{a, os.Getpid()}, nil
})

// poolScript is a Python program that has a task of the Go program's called. It
// needs something of that name, whatever it does.
const poolScript = `
import sys, types
from multiprocessing.managers import SyncManager

def fibonacci(n): pass
sums = sys.modules["sums"] = types.ModuleType("sums")
sums.fibonacci = fibonacci
fibonacci.__module__ = "sums"

m = SyncManager(address=sys.argv[1], authkey=sys.argv[2].encode()); m.connect()
pool = m.Pool()
numbers, workers = zip(*pool.map(fibonacci, [10, 50]))
print(numbers, pool.apply_async(pow, (2, 10)).get(), int(sys.argv[3]) in workers)
`

// A Python program uses a pool of the Go program's worker processes.
func TestPoolOfProcesses(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("the machine has no python3")
	}
	workers := &process.Pool{Workers: 2}
	t.Cleanup(func() {
		if err := workers.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	address := serve(t, &manager.Server{Executor: workers, Tasks: []string{fibonacci.Name()}}).String()
	out, err := exec.CommandContext(t.Context(), python, "-c", poolScript, address, string(key), strconv.Itoa(os.Getpid())).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if want := "(55, 12586269025) 1024 False\n"; string(out) != want {
		t.Errorf("Python prints %s, want %s", out, want)
	}
}
