package shm_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/local"
	"github.com/tristrand/tristrand/strand"
)

// Two processes that want each other's lock: one is refused, the other goes on.
func TestADeadlockOfTwoProcesses(t *testing.T) {
	ctx, k := adopt(t), newKit(t)
	a := newActor(t, k)
	for range 20 {
		if err := k.A.Acquire(ctx); err != nil {
			t.Fatal(err)
		}
		a.done("ann acquire b")
		a.say("ann acquire a")
		theirs := make(chan string, 1)
		go func() {
			said := a.answer()
			if strings.Contains(said, "deadlock") { // theirs is the one to give way
				a.say("ann release b")
			}
			theirs <- said
		}()
		err := k.B.Acquire(ctx)
		if dead := (*tristrand.DeadlockError)(nil); errors.As(err, &dead) {
			checkCycle(t, dead.Error(), `"test"`, fmt.Sprintf(`"ann (pid %d)"`, a.Process.Pid))
			if err := k.A.Release(ctx); err != nil {
				t.Fatal(err)
			}
			if said := <-theirs; said != "ann acquire a: <nil>" {
				t.Fatal(said)
			}
			a.done("ann release a")
			a.done("ann release b")
			continue
		}
		checkCycle(t, <-theirs, `"ann"`, fmt.Sprintf(`"test (pid %d)"`, os.Getpid()))
		a.expect("ann release b: <nil>")
		if err := errors.Join(err, k.A.Release(ctx), k.B.Release(ctx)); err != nil {
			t.Fatal(err)
		}
	}
}

// checkCycle checks that a cycle of two says who, what and where.
func checkCycle(t *testing.T, text, us, them string) {
	t.Helper()
	for _, want := range []string{us, them, `lock "a"`, `lock "b"`, "deadlock_linux_test.go:", "actor_linux_test.go:"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q does not say %s", text, want)
		}
	}
	if n := strings.Count(text, " waits for "); n != 2 {
		t.Errorf("%q has %d waits, want 2", text, n)
	}
}

// Several processes at once close a ring, in any order: just one is refused, and
// soon.
func TestADeadlockOfThreeProcessesHasOneVictim(t *testing.T) {
	k := newKit(t)
	names := []string{"a", "b", "c"}
	var actors []*actor
	for range 3 {
		actors = append(actors, newActor(t, k))
	}
	for round := range 20 {
		for i, a := range actors {
			a.done("x acquire " + names[i])
		}
		began := time.Now()
		for i, a := range actors {
			a.say("x acquire " + names[(i+1)%3])
		}
		victim := -1
		for victim < 0 {
			for i, a := range actors {
				select {
				case text := <-a.heard:
					if !strings.Contains(text, "deadlock") {
						t.Fatalf("round %d: %q", round, text)
					}
					victim = i
				case <-time.After(time.Millisecond):
				}
			}
			if time.Since(began) > 20*time.Second {
				t.Fatal("nobody is refused")
			}
		}
		t.Logf("refused after %v", time.Since(began))
		actors[victim].done("x release " + names[victim]) // and so all the others get theirs
		for i := 2; i >= 1; i-- {
			other := (victim + i) % 3
			actors[other].expect(fmt.Sprintf("x acquire %s: <nil>", names[(other+1)%3]))
			actors[other].done("x release " + names[(other+1)%3])
			actors[other].done("x release " + names[other])
		}
	}
}

// A cycle may pass through locks of package local in one of the processes.
func TestADeadlockThroughALocalLock(t *testing.T) {
	ctx, k := adopt(t), newKit(t)
	a := newActor(t, k)
	var mu local.Lock
	if err := k.A.Acquire(ctx); err != nil {
		t.Fatal(err)
	}
	a.done("ann acquire b")
	second := make(chan error, 1)
	strand.Go(ctx, strand.Options{Kind: strand.Thread, Name: "second"}, func(ctx context.Context) {
		if err := mu.Acquire(ctx); err != nil {
			t.Error(err)
		}
		err := k.B.Acquire(ctx) // of ann
		if err == nil {
			err = k.B.Release(ctx)
		}
		second <- errors.Join(err, mu.Release(ctx))
	})
	until(t, "second waits", func() bool { return locks(ctx, t, k.B).Waiting == 1 })
	go func() { // ann closes the cycle, and does not see it
		until(t, "test waits", func() bool { st, _ := mu.State(ctx); return st.Waiting == 1 })
		a.say("ann acquire a")
	}()
	err := mu.Acquire(ctx)
	var dead *tristrand.DeadlockError
	if errors.As(err, &dead) { // we are the victim
		if err := k.A.Release(ctx); err != nil {
			t.Error(err)
		}
		a.expect("ann acquire a: <nil>")
		a.done("ann release a")
		a.done("ann release b")
		if err := <-second; err != nil {
			t.Error(err)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := <-second; !errors.As(err, &dead) {
		t.Errorf("second: %v, want a DeadlockError", err)
	}
	if err := errors.Join(mu.Release(ctx), k.A.Release(ctx)); err != nil {
		t.Error(err)
	}
	a.expect("ann acquire a: <nil>")
}

// With a deadline in the cycle there is no deadlock.
func TestADeadlineElsewhereIsRespected(t *testing.T) {
	ctx, k := adopt(t), newKit(t)
	a := newActor(t, k)
	if err := k.A.Acquire(ctx); err != nil {
		t.Fatal(err)
	}
	a.done("ann acquire b")
	a.say("ann shortly a")
	until(t, "ann waits", func() bool { return locks(ctx, t, k.A).Waiting == 1 })
	done := make(chan error, 1)
	go func() {
		if got := a.answer(); !strings.Contains(got, "deadline exceeded") {
			done <- fmt.Errorf("ann: %s", got)
			return
		}
		a.say("ann release b")
		done <- nil
	}()
	if err := errors.Join(k.B.Acquire(ctx), <-done); err != nil {
		t.Error(err)
	}
}

// orderedPart acquires locks in one order, in several strands.
func orderedPart(in []byte, _ *bufio.Scanner, out io.Writer) error {
	var k kit
	if err := cbor.Unmarshal(in, &k); err != nil {
		return err
	}
	defer fmt.Fprintln(out, "done")
	return ordered(context.Background(), &k, 4)
}

func ordered(ctx context.Context, k *kit, strands int) error {
	all := []tristrand.Locker{k.A, k.B, k.C, k.R}
	errs := make(chan error, strands)
	for i := range strands {
		strand.Go(ctx, strand.Options{Kind: strand.Thread, Name: fmt.Sprint("orderly ", i)}, func(ctx context.Context) {
			rng := rand.New(rand.NewPCG(uint64(os.Getpid()), uint64(i)))
			errs <- func() (err error) {
				for range k.N {
					want := rng.IntN(1 << len(all))
					for j, l := range all {
						if want>>j&1 == 1 {
							err = errors.Join(err, l.Acquire(ctx))
						}
					}
					for j, l := range all {
						if want>>j&1 == 1 {
							err = errors.Join(err, l.Release(ctx))
						}
					}
					if err != nil {
						return err
					}
				}
				return nil
			}()
		})
	}
	var all2 error
	for range strands {
		all2 = errors.Join(all2, <-errs)
	}
	return all2
}

// Locks taken in one order are never called a deadlock: some 10^6 acquisitions.
func TestLocksInOrderAreNoDeadlock(t *testing.T) {
	k := newKit(t)
	k.N = 40_000
	if testing.Short() {
		k.N = 1000
	}
	others := []*other{start(t, "ordered", k), start(t, "ordered", k)}
	if err := ordered(t.Context(), k, 4); err != nil {
		t.Error(err)
	}
	for _, o := range others {
		if got := o.hear(); got != "done" {
			t.Error(got)
		}
		o.end(false)
	}
}

// The graph shows what strands of other processes wait for.
func TestStrandsElsewhereAreShown(t *testing.T) {
	ctx, k := adopt(t), newKit(t)
	a := newActor(t, k)
	if err := k.A.Acquire(ctx); err != nil {
		t.Fatal(err)
	}
	a.say("ann acquire a")
	until(t, "ann waits", func() bool { return locks(ctx, t, k.A).Waiting == 1 })
	found := false
	for g := range strand.Published() {
		for v, err := range g.Strands(ctx) {
			if err != nil {
				t.Fatal(err)
			}
			found = found || v.Name == "ann" && v.Waiting == `lock "a"` && v.State == strand.Waiting && v.Ref.Process == strand.ID(a.Process.Pid)
		}
	}
	if !found {
		t.Error("ann is not shown as waiting")
	}
}
