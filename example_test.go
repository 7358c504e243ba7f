package tristrand_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/local"
	"github.com/tristrand/tristrand/thread"
)

var Square = tristrand.Define("example.square", func(ctx context.Context, n int) (int, error) {
	return n * n, nil
})

func Example() {
	err := thread.Main(func(ctx context.Context) error {
		pool := &thread.Pool{Workers: 4}
		defer pool.Close(context.WithoutCancel(ctx))

		for n, err := range Square.Map(ctx, pool, slices.Values([]int{1, 2, 3})) {
			fmt.Println(n, err) // in order, whoever was first
		}
		var lock local.Lock // knows its holder, and refuses a deadlock
		var deadlock *tristrand.DeadlockError
		fmt.Println(lock.Acquire(ctx), errors.As(lock.Acquire(ctx), &deadlock))
		return lock.Release(ctx)
	})
	fmt.Println(err)
	// Output:
	// 1 <nil>
	// 4 <nil>
	// 9 <nil>
	// <nil> true
	// <nil>
}

// TestReadmeShowsTheExample keeps the code on the README's first screen the one
// that is compiled and run here.
func TestReadmeShowsTheExample(t *testing.T) {
	self, err := os.ReadFile("example_test.go")
	if err != nil {
		t.Fatal(err)
	}
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, body, _ := strings.Cut(string(self), "func Example() {\n")
	body, _, _ = strings.Cut(body, "\t// Output:")
	for line := range strings.Lines(body) {
		if !strings.Contains(string(readme), strings.TrimSpace(line)) {
			t.Errorf("README.md lacks the example's line %q", line)
		}
	}
}
