package process_test

import (
	"context"
	"os"
	"os/exec"
	"testing"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/conformance"
	"github.com/tristrand/tristrand/process"
)

func TestPoolConformance(t *testing.T) {
	conformance.Executor(t, func(_ context.Context, _ testing.TB, workers, queue int) tristrand.Executor {
		return &process.Pool{Workers: workers, Queue: queue}
	}, conformance.ExecutorOptions{Options: conformance.Options{Worlds: []conformance.World{conformance.RealTime}}, Portable: true, CanKill: true})
}

// Where processes share no memory the pool works over pipes, and keeps the same rules.
func TestPoolConformanceOverPipes(t *testing.T) {
	const key = "TRISTRAND_TRANSPORT"
	if os.Getenv(key) != "" {
		t.Skip("this is that test")
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestPoolConformance$", "-test.timeout=5m")
	cmd.Env = append(os.Environ(), key+"=pipes")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
