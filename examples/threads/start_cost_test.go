package threads_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/process"
	"github.com/tristrand/tristrand/thread"
)

var doNothing = tristrand.Define("examples.threads.nothing",
	func(context.Context, struct{}) (struct{}, error) { return struct{}{}, nil })

// T09: what it costs to start something that does nothing, and to join it.
func TestStartCost(t *testing.T) {
	nothing := func(context.Context) error { return nil }
	rows := []struct {
		what  string
		times int
		most  time.Duration // no more than this, on a busy machine too
		start func(ctx context.Context) (join func(ctx context.Context) error)
	}{
		{"a bare goroutine", 200, 50 * time.Millisecond, func(context.Context) func(context.Context) error {
			done := make(chan struct{})
			go close(done)
			return func(context.Context) error { <-done; return nil }
		}},
		{"a thread", 200, 50 * time.Millisecond, func(ctx context.Context) func(context.Context) error {
			return thread.Start(ctx, "", nothing).Join
		}},
		{"a process", 20, 5 * time.Second, func(ctx context.Context) func(context.Context) error {
			p, err := process.Start(ctx, doNothing.Bind(struct{}{}))
			if err != nil {
				return func(context.Context) error { return err }
			}
			return p.Join
		}},
	}
	var table strings.Builder
	for _, row := range rows {
		times := make([]time.Duration, row.times)
		for i := range times {
			began := time.Now()
			if err := row.start(t.Context())(t.Context()); err != nil {
				t.Fatal(err)
			}
			times[i] = time.Since(began)
		}
		slices.Sort(times)
		fmt.Fprintf(&table, "%-20s %v\n", row.what, times[len(times)/2])
		if times[len(times)/2] > row.most {
			t.Errorf("%s takes %v", row.what, times[len(times)/2])
		}
	}
	t.Logf("start and join, the median:\n%s", &table)
}
