//go:build linux

package processes_test

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/process"
	"github.com/tristrand/tristrand/shm"
)

// A greeting says who greets, and what tells whether others do at the same time.
type greeting struct {
	N        int
	Together *shm.Barrier // nil: alone
	Alive    *shm.Value[int]
}

var hello = tristrand.Define("examples.processes.hello", func(ctx context.Context, g greeting) (struct{}, error) {
	one := func(by int) (int, error) {
		return g.Alive.Update(ctx, func(n int) (int, error) { return n + by, nil })
	}
	alive, err := one(+1)
	if err != nil {
		return struct{}{}, err
	}
	if g.Together != nil {
		if _, err := g.Together.Wait(ctx); err != nil { // opens when all ten are here
			return struct{}{}, err
		}
	} else if alive != 1 {
		return struct{}{}, fmt.Errorf("%d processes at once", alive)
	}
	fmt.Println("hello from process", g.N)
	_, err = one(-1)
	return struct{}{}, err
})

// P01: ten processes, all together, or with a join after each.
func TestTenHellos(t *testing.T) {
	ctx := t.Context()
	alive, err := shm.NewValue("alive", 0)
	if err != nil {
		t.Fatal(err)
	}
	barrier, err := shm.NewBarrier("all here", 10)
	if err != nil {
		t.Fatal(err)
	}
	for name, together := range map[string]*shm.Barrier{"together": barrier, "one by one": nil} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			var all []*process.Process
			for n := range 10 {
				p, err := process.Start(ctx, hello.Bind(greeting{n, together, alive}), process.Output(&out, nil))
				if err != nil {
					t.Fatal(err)
				}
				if together == nil {
					join(t, p)
				}
				all = append(all, p)
			}
			for _, p := range all {
				join(t, p)
			}
			lines := strings.Split(strings.TrimSpace(out.String()), "\n")
			if together != nil {
				slices.Sort(lines) // they come as they like
			}
			for n, line := range lines {
				if want := fmt.Sprint("hello from process ", n); line != want || len(lines) != 10 {
					t.Errorf("line %d of %d is %q, want %q", n, len(lines), line, want)
				}
			}
		})
	}
}

func join(t *testing.T, p *process.Process) {
	t.Helper()
	if err := p.Join(t.Context()); err != nil {
		t.Fatal(err)
	}
}
