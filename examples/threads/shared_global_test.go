package threads_test

import (
	"context"
	"testing"

	"github.com/tristrand/tristrand"
)

// n is a global variable. Submit happens before the job, and the job before its
// result is read, so this needs no lock.
var n = 100

var setToZero = tristrand.Define("examples.threads.setToZero",
	func(context.Context, struct{}) (struct{}, error) {
		n = 0
		return struct{}{}, nil
	})

// T08: threads share their memory: a global that a thread sets to 0 is 0 for
// all. A process has a copy.
func TestSharedGlobal(t *testing.T) {
	for _, e := range engines {
		t.Run(e.name, func(t *testing.T) {
			ctx := t.Context()
			n = 100
			pool := e.pool(1)
			if _, err := setToZero.Call(ctx, pool, struct{}{}); err != nil {
				t.Fatal(err)
			}
			if err := pool.Close(ctx); err != nil {
				t.Fatal(err)
			}
			want := 0
			if e.ownProcesses {
				want = 100
			}
			if n != want {
				t.Errorf("n is %d, want %d", n, want)
			}
		})
	}
}
