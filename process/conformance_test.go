package process_test

import (
	"context"
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
