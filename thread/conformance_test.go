package thread_test

import (
	"context"
	"testing"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/conformance"
	"github.com/tristrand/tristrand/thread"
)

func TestPoolConformance(t *testing.T) {
	conformance.Executor(t, func(_ context.Context, _ testing.TB, workers, queue int) tristrand.Executor {
		return &thread.Pool{Workers: workers, Queue: queue}
	}, conformance.ExecutorOptions{Options: conformance.Options{Seeds: 3}})
}
