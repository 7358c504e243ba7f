package shm_test

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"io"
	"testing"

	"github.com/fxamacker/cbor/v2"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/conformance"
	"github.com/tristrand/tristrand/shm"
)

// must returns v, which a test cannot do without.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// conformPart runs the suites in this process, with objects in the arena of the
// process that sent the kit.
func conformPart(in []byte, _ *bufio.Scanner, _ io.Writer) error {
	var k kit
	if err := cbor.Unmarshal(in, &k); err != nil {
		return err
	}
	k.A.MakeHere()
	if err := flag.CommandLine.Parse([]string{"-test.run=^TestConformance$", "-test.short", "-test.timeout=100s"}); err != nil {
		return err
	}
	if code := testMain.Run(); code != 0 {
		return fmt.Errorf("the suites end with %d", code)
	}
	return nil
}

// The suites hold for processes that share an arena, and so seats, guards and
// whatever else could be mixed up.
func TestConformanceOfSeveralProcessesAtOnce(t *testing.T) {
	k := newKit(t)
	others := []*other{start(t, "conform", k), start(t, "conform", k)}
	for _, o := range others {
		for o.lines.Scan() {
			if line := o.lines.Text(); line != "PASS" {
				t.Log(line)
			}
		}
		o.end(false)
	}
}

func TestConformance(t *testing.T) {
	o := conformance.Options{Worlds: []conformance.World{conformance.RealTime}}
	newLock := func(context.Context, testing.TB) tristrand.Locker { return must(shm.NewLock("")) }
	newRLock := func(context.Context, testing.TB) tristrand.Locker { return must(shm.NewRLock("")) }
	t.Run("Lock", func(t *testing.T) { conformance.Lock(t, newLock, o) })
	t.Run("RLock", func(t *testing.T) { conformance.RLock(t, newRLock, o) })
	t.Run("Semaphore", func(t *testing.T) {
		conformance.Semaphore(t, func(_ context.Context, _ testing.TB, n int) tristrand.Semaphore {
			return must(shm.NewSemaphore("", n))
		}, o)
	})
	t.Run("BoundedSemaphore", func(t *testing.T) {
		conformance.BoundedSemaphore(t, func(_ context.Context, _ testing.TB, n int) tristrand.Semaphore {
			return must(shm.NewBoundedSemaphore("", n))
		}, o)
	})
	t.Run("Event", func(t *testing.T) {
		conformance.Event(t, func(context.Context, testing.TB) tristrand.Event { return must(shm.NewEvent("")) }, o)
	})
	t.Run("Condition", func(t *testing.T) {
		conformance.Condition(t, conformance.ConditionMaker{
			Condition: func(_ context.Context, _ testing.TB, l tristrand.Locker) tristrand.Condition {
				return must(shm.NewCondition("", l))
			},
			Lock: newLock, RLock: newRLock,
		}, o)
	})
	t.Run("Barrier", func(t *testing.T) {
		conformance.Barrier(t, func(_ context.Context, _ testing.TB, n int, action func(context.Context) error) tristrand.Barrier {
			b := must(shm.NewBarrier("", n))
			b.Action = action
			return b
		}, o)
	})
}
