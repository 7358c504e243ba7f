package shm_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/fxamacker/cbor/v2"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/strand"
)

// counter is a word of shared memory that only a lock protects.
func (k *kit) counter() *int64 { return (*int64)(unsafe.Pointer(&k.Memory.View()[0])) }

// countPart counts up N times under the lock, in several strands.
func countPart(in []byte, _ *bufio.Scanner, out io.Writer) error {
	var k kit
	if err := cbor.Unmarshal(in, &k); err != nil {
		return err
	}
	defer fmt.Fprintln(out, "done")
	return count(context.Background(), &k, 6)
}

func count(ctx context.Context, k *kit, strands int) error {
	errs, counter := make(chan error, strands), k.counter()
	for i := range strands {
		strand.Go(ctx, strand.Options{Kind: strand.Thread, Name: fmt.Sprint("counter ", i)}, func(ctx context.Context) {
			errs <- func() error {
				for n := range k.N {
					if err := tristrand.With(ctx, k.A, func(context.Context) error { *counter++; return nil }); err != nil {
						return err
					}
					if n%16 > 0 {
						continue
					}
					// A wake that is lost here is never made up for.
					if err := errors.Join(k.Sem.Acquire(ctx), k.Sem.Release(ctx, 1)); err != nil {
						return err
					}
				}
				return nil
			}()
		})
	}
	var all error
	for range strands {
		all = errors.Join(all, <-errs)
	}
	return all
}

func TestLockExcludesStrandsOfSeveralProcesses(t *testing.T) {
	k := newKit(t)
	k.N = 4_000
	var others []*other
	for range 3 {
		others = append(others, start(t, "count", k))
	}
	if err := count(t.Context(), k, 6); err != nil {
		t.Error(err)
	}
	for _, o := range others {
		o.hear()
		o.end(false)
	}
	if got, want := *k.counter(), int64(4*6*k.N); got != want {
		t.Errorf("counted %d of %d", got, want)
	}
}

func TestAHolderInAnotherProcessIsShown(t *testing.T) {
	ctx, k := adopt(t), newKit(t)
	a := newActor(t, k)
	a.done("ann acquire a")
	st := locks(ctx, t, k.A)
	if h := st.Holder; h == nil || h.Name != "ann" || h.PID != a.Process.Pid || h.Ref.Process != strand.ID(h.PID) || !strings.Contains(h.At, "actor_linux_test.go:") {
		t.Fatalf("the holder is %+v", h)
	}
	is(t, k.A.TryAcquire(ctx), tristrand.ErrBusy, "TryAcquire")
	is(t, k.A.Release(ctx), tristrand.ErrNotHeld, "Release")
	short, cancel := context.WithTimeout(ctx, 5*time.Millisecond)
	defer cancel()
	is(t, k.A.Acquire(short), context.DeadlineExceeded, "Acquire")
	a.say("ann release a")
	if err := errors.Join(k.A.Acquire(ctx), k.A.Release(ctx)); err != nil {
		t.Fatal(err)
	}
}

// A holder that is killed is told to the next who acquires, by name and pid.
func TestAKilledHolderIsTold(t *testing.T) {
	ctx, k := adopt(t), newKit(t)
	locks4 := map[string]tristrand.Locker{"a": k.A, "r": k.R}
	for name, l := range locks4 {
		for _, before := range []bool{true, false} { // of the death, or afterwards
			a := newActor(t, k)
			a.done("ann acquire " + name)
			told := make(chan error, 2)
			wait := func() {
				for range 2 {
					strand.Go(ctx, strand.Options{Kind: strand.Thread}, func(ctx context.Context) { told <- l.Acquire(ctx) })
				}
			}
			if before {
				wait()
				until(t, "two wait", func() bool { return locks(ctx, t, l).Waiting == 2 })
			}
			a.murder()
			died := time.Now()
			if !before {
				wait()
			}
			for range 2 {
				err := <-told
				is(t, err, tristrand.ErrOwnerDied, "Acquire of a dead holder's lock")
				if err != nil && (!strings.Contains(err.Error(), `"ann"`) || !strings.Contains(err.Error(), fmt.Sprint("pid ", a.Process.Pid))) {
					t.Errorf("%q does not say who died", err)
				}
			}
			t.Logf("%s, waiting before the death %v: told %v after it was reaped", name, before, time.Since(died))
			is(t, l.TryAcquire(ctx), tristrand.ErrOwnerDied, "TryAcquire")
			if st := locks(ctx, t, l); !st.OwnerDied || st.Holder.Name != "ann" || st.Holder.PID != a.Process.Pid {
				t.Errorf("the state is %+v", st)
			}
			if err := errors.Join(l.Recover(ctx), l.Release(ctx), l.Acquire(ctx), l.Release(ctx)); err != nil {
				t.Error(err)
			}
		}
	}
}

// TryAcquire alone, repeated, finds out as well.
func TestATryFindsOutThatTheHolderDied(t *testing.T) {
	ctx, k := adopt(t), newKit(t)
	a := newActor(t, k)
	a.done("ann acquire a")
	is(t, k.A.TryAcquire(ctx), tristrand.ErrBusy, "TryAcquire")
	a.murder()
	until(t, "the death is told", func() bool { return errors.Is(k.A.TryAcquire(ctx), tristrand.ErrOwnerDied) })
}

func TestAStrandThatEndsHoldingIsToldElsewhere(t *testing.T) {
	ctx, k := adopt(t), newKit(t)
	a := newActor(t, k)
	strand.Go(ctx, strand.Options{Kind: strand.Thread, Name: "short"}, func(ctx context.Context) {
		if err := k.A.Acquire(ctx); err != nil {
			t.Error(err)
		}
		a.say("ann acquire a")
		until(t, "ann waits", func() bool { return locks(ctx, t, k.A).Waiting == 1 })
	})
	if got := a.answer(); !strings.Contains(got, "ended without releasing") || !strings.Contains(got, "short") {
		t.Errorf("the other process was told %q", got)
	}
	a.done("ann recover a")
	a.done("ann release a")
}

// A process that is stopped is not dead.
func TestAStoppedHolderKeepsItsLock(t *testing.T) {
	ctx, k := adopt(t), newKit(t)
	a := newActor(t, k)
	a.done("ann acquire a")
	if err := a.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	short, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
	defer cancel()
	is(t, k.A.Acquire(short), context.DeadlineExceeded, "Acquire of a stopped holder's lock")
	if st := locks(ctx, t, k.A); st.OwnerDied || st.Holder == nil || st.Holder.PID != a.Process.Pid {
		t.Errorf("the state is %+v", st)
	}
	if err := a.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	a.done("ann release a")
	if err := k.A.Acquire(ctx); err != nil {
		t.Error(err)
	}
}
