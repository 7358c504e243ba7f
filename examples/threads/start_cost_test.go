package threads_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tristrand/tristrand/thread"
)

// T09: what it costs to start something that does nothing, and to join it.
func TestStartCost(t *testing.T) {
	nothing := func(context.Context) error { return nil }
	rows := []struct {
		what  string
		start func(ctx context.Context) (join func(ctx context.Context) error)
	}{
		{"a bare goroutine", func(context.Context) func(context.Context) error {
			done := make(chan struct{})
			go close(done)
			return func(context.Context) error { <-done; return nil }
		}},
		{"a thread", func(ctx context.Context) func(context.Context) error {
			return thread.Start(ctx, "", nothing).Join
		}},
	}
	var table strings.Builder
	for _, row := range rows {
		times := make([]time.Duration, 200)
		for i := range times {
			began := time.Now()
			if err := row.start(t.Context())(t.Context()); err != nil {
				t.Fatal(err)
			}
			times[i] = time.Since(began)
		}
		slices.Sort(times)
		fmt.Fprintf(&table, "%-20s %v\n", row.what, times[len(times)/2])
		if times[len(times)/2] > 50*time.Millisecond {
			t.Errorf("%s takes %v", row.what, times[len(times)/2])
		}
	}
	t.Logf("start and join, the median of 200:\n%s", &table)
}
