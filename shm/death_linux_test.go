package shm_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/shm"
	"github.com/tristrand/tristrand/strand"
)

// What a dead process held of a semaphore is given back, to those who wait and
// to those who come.
func TestASemaphoreGetsBackWhatTheDeadHeld(t *testing.T) {
	ctx, k := adopt(t), newKit(t)
	a := newActor(t, k)
	a.done("ann acquire sem")
	a.done("bob acquire sem")
	passed := make(chan error, 1)
	strand.Go(ctx, strand.Options{Kind: strand.Thread}, func(ctx context.Context) { passed <- k.Sem.Acquire(ctx) })
	until(t, "one waits", func() bool { return must(k.Sem.State(ctx)).Waiting == 1 })
	a.murder()
	if err := errors.Join(<-passed, k.Sem.Acquire(ctx)); err != nil {
		t.Fatal(err)
	}
	is(t, k.Sem.TryAcquire(ctx), tristrand.ErrBusy, "TryAcquire of none")
	if err := k.Sem.Release(ctx, 2); err != nil {
		t.Error(err)
	}
	is(t, k.Sem.Release(ctx, 1), tristrand.ErrOverRelease, "Release of one too many")
}

// What one process acquires another may release; a death gives back no more than
// is held.
func TestASemaphoreIsHandedOverBetweenProcesses(t *testing.T) {
	ctx, k := adopt(t), newKit(t)
	a := newActor(t, k)
	a.done("ann acquire sem")
	if err := k.Sem.Release(ctx, 1); err != nil {
		t.Fatal(err)
	}
	a.murder()
	if st := must(k.Sem.State(ctx)); st.Free != 2 {
		t.Errorf("the state is %+v, want 2 free", st)
	}
	b := newActor(t, k) // takes the dead one's place
	b.done("bob acquire sem")
	if st := must(k.Sem.State(ctx)); st.Free != 1 {
		t.Errorf("the state is %+v, want 1 free", st)
	}
}

func TestAnEventIsSetElsewhere(t *testing.T) {
	ctx, k := adopt(t), newKit(t)
	a, b := newActor(t, k), newActor(t, k)
	a.say("ann wait event")
	b.say("bob wait event")
	until(t, "two wait", func() bool { return must(k.Event.State(ctx)).Waiting == 2 })
	b.murder()
	until(t, "the dead waits no more", func() bool {
		is(t, k.A.TryAcquire(ctx), nil, "TryAcquire")
		is(t, k.A.Release(ctx), nil, "Release")
		short, cancel := context.WithTimeout(ctx, time.Millisecond)
		defer cancel()
		is(t, k.Event.Wait(short), context.DeadlineExceeded, "Wait") // who waits finds out
		return must(k.Event.State(ctx)).Waiting == 1
	})
	if err := errors.Join(k.Event.Set(ctx), k.Event.Clear(ctx)); err != nil {
		t.Fatal(err)
	}
	a.expect("ann wait event: <nil>")
}

// A notification that a dead process took along goes to the next.
func TestANotificationDoesNotDieWithItsReceiver(t *testing.T) {
	ctx, k := adopt(t), newKit(t)
	a := newActor(t, k)
	a.done("ann acquire r")
	a.say("ann wait cond")
	until(t, "one waits", func() bool { return must(k.Cond.State(ctx)).Waiting == 1 })
	woken := make(chan error, 1)
	strand.Go(ctx, strand.Options{Kind: strand.Thread}, func(ctx context.Context) {
		woken <- errors.Join(k.R.Acquire(ctx), k.Cond.Wait(ctx), k.R.Release(ctx))
	})
	until(t, "two wait", func() bool { return must(k.Cond.State(ctx)).Waiting == 2 })
	stopped(t, a) // so that it is told and cannot act
	if err := errors.Join(k.R.Acquire(ctx), k.Cond.Notify(ctx, 1), k.R.Release(ctx)); err != nil {
		t.Fatal(err)
	}
	a.murder()
	if err := <-woken; err != nil {
		t.Error(err)
	}
}

// stopped stops the actor, and returns when it is.
func stopped(t *testing.T, a *actor) {
	t.Helper()
	if err := a.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	until(t, "the process is stopped", func() bool {
		var state byte
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", a.Process.Pid))
		if err == nil {
			_, _ = fmt.Sscanf(string(text[lastParen(text):]), ") %c", &state)
		}
		return state == 'T'
	})
}

func lastParen(text []byte) int {
	for i := len(text) - 1; i > 0; i-- {
		if text[i] == ')' {
			return i
		}
	}
	return 0
}

// A waiter that is killed just after it was woken swallows nothing.
func TestAWaiterKilledAfterItWasWoken(t *testing.T) {
	ctx, k := adopt(t), newKit(t)
	for _, late := range []bool{false, true} { // the lock is handed over, or to be tried for
		a := newActor(t, k)
		if err := k.A.Acquire(ctx); err != nil {
			t.Fatal(err)
		}
		a.say("ann acquire a")
		until(t, "one waits", func() bool { return locks(ctx, t, k.A).Waiting == 1 })
		stopped(t, a)
		if late {
			time.Sleep(3 * time.Millisecond) // longer than anyone may be overtaken
		}
		second := make(chan error, 1)
		strand.Go(ctx, strand.Options{Kind: strand.Thread}, func(ctx context.Context) {
			second <- errors.Join(k.A.Acquire(ctx), k.A.Release(ctx))
		})
		until(t, "two wait", func() bool { return locks(ctx, t, k.A).Waiting == 2 })
		if err := k.A.Release(ctx); err != nil {
			t.Fatal(err)
		}
		a.murder()
		if err := <-second; err != nil {
			t.Errorf("the second waiter: %v", err)
		}
	}
}

func TestADeadPartyBreaksABarrier(t *testing.T) {
	ctx, k := adopt(t), newKit(t)
	a := newActor(t, k)
	a.say("ann wait barrier")
	until(t, "one waits", func() bool { return must(k.Barrier.State(ctx)).Waiting == 1 })
	told := make(chan error, 1)
	strand.Go(ctx, strand.Options{Kind: strand.Thread}, func(ctx context.Context) {
		_, err := k.Barrier.Wait(ctx)
		told <- err
	})
	until(t, "two wait", func() bool { return must(k.Barrier.State(ctx)).Waiting == 2 })
	a.murder()
	is(t, <-told, tristrand.ErrBroken, "Wait")
	if err := k.Barrier.Reset(ctx); err != nil {
		t.Fatal(err)
	}
	b, c := newActor(t, k), newActor(t, k)
	b.say("bob wait barrier")
	c.say("cid wait barrier")
	if _, err := k.Barrier.Wait(ctx); err != nil {
		t.Error(err)
	}
	b.expect("bob wait barrier: <nil>")
	c.expect("cid wait barrier: <nil>")
}

// Who has died may be replaced in the table while others find out.
func TestTheDeadAreNotTheirSuccessors(t *testing.T) {
	l, err := shm.NewLock("")
	if err != nil {
		t.Fatal(err)
	}
	gone := exec.Command("true")
	if err := gone.Run(); err != nil {
		t.Skip(err)
	}
	pid := gone.Process.Pid
	for n := range 2000 {
		if l.Replace(pid, func() { spin(n * 20) }) {
			t.Fatalf("in round %d a living process was taken for dead", n)
		}
	}
}

// A process may be killed between any two instructions.
func TestKilledInTheMiddle(t *testing.T) {
	ctx := adopt(t)
	wait := func(wait func(context.Context) error) <-chan error {
		done := make(chan error, 1)
		strand.Go(ctx, strand.Options{Kind: strand.Thread}, func(ctx context.Context) { done <- wait(ctx) })
		return done
	}
	expect := func(t *testing.T, what string, done <-chan error) {
		t.Helper()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("%s: %v", what, err)
			}
		case <-time.After(20 * time.Second):
			t.Fatalf("%s: nobody is told", what)
		}
	}
	t.Run("of acquiring a semaphore", func(t *testing.T) {
		k := newKit(t)
		newActor(t, k).say("ann die sem")
		for range 2 {
			expect(t, "Acquire", wait(k.Sem.Acquire))
		}
	})
	t.Run("of letting the parties of a barrier go", func(t *testing.T) {
		k := newKit(t)
		a := newActor(t, k)
		done := wait(func(ctx context.Context) error { _, err := k.Barrier.Wait(ctx); return err })
		until(t, "one waits", func() bool { return must(k.Barrier.State(ctx)).Waiting == 1 })
		a.say("ann die barrier")
		expect(t, "Wait", done)
	})
	t.Run("of setting an event", func(t *testing.T) {
		k := newKit(t)
		a := newActor(t, k)
		done := wait(k.Event.Wait)
		until(t, "one waits", func() bool { return must(k.Event.State(ctx)).Waiting == 1 })
		a.say("ann die event")
		expect(t, "Wait", done)
	})
	for _, l := range []string{"a", "r"} {
		t.Run("of handing over "+l, func(t *testing.T) {
			k := newKit(t)
			var lock tristrand.Locker = k.A
			if l == "r" {
				lock = k.R
			}
			a := newActor(t, k)
			a.done("ann acquire " + l)
			done := wait(func(ctx context.Context) error { return errors.Join(lock.Acquire(ctx), lock.Release(ctx)) })
			until(t, "one waits", func() bool { return locks(ctx, t, lock).Waiting == 1 })
			a.say("ann die " + l)
			expect(t, "Acquire", done)
		})
	}
	t.Run("of making an object", func(t *testing.T) {
		k := newKit(t)
		newActor(t, k).say("ann die making")
		expect(t, "NewLock", wait(func(context.Context) error {
			l, err := shm.NewLock("another")
			return errors.Join(err, l.Close())
		}))
	})
}

// stormPart uses everything at random until it is killed.
func stormPart(in []byte, _ *bufio.Scanner, out io.Writer) error {
	var k kit
	if err := cbor.Unmarshal(in, &k); err != nil {
		return err
	}
	fmt.Fprintln(out, "ready")
	return storm(context.Background(), &k, k.counter(), 4, func() bool { return false })
}

// storm has strands use everything at random, and recover what others left.
func storm(ctx context.Context, k *kit, inside *int64, strands int, over func() bool) error {
	errs := make(chan error, strands)
	for i := range strands {
		strand.Go(ctx, strand.Options{Kind: strand.Thread, Name: fmt.Sprint("stormer ", i)}, func(ctx context.Context) {
			rng := rand.New(rand.NewPCG(uint64(os.Getpid()), uint64(i)))
			var err error
			for err == nil && !over() {
				err = stormRound(ctx, k, rng, inside)
			}
			errs <- err
		})
	}
	var all error
	for range strands {
		all = errors.Join(all, <-errs)
	}
	return all
}

func stormRound(ctx context.Context, k *kit, rng *rand.Rand, inside *int64) error {
	short, cancel := context.WithTimeout(ctx, time.Duration(rng.IntN(3000))*time.Microsecond)
	defer cancel()
	if rng.IntN(2) == 0 {
		short = ctx
	}
	within := func(err error, undo func(context.Context) error) error {
		switch {
		case err == nil:
			return undo(ctx)
		case errors.Is(err, context.DeadlineExceeded), errors.Is(err, tristrand.ErrBusy), errors.Is(err, tristrand.ErrBroken), errors.Is(err, tristrand.ErrOwnerDied):
			return nil
		}
		return err
	}
	switch rng.IntN(8) {
	case 0, 1:
		return within(k.A.Recover(short), func(ctx context.Context) error {
			if *inside != 0 && !dead(int(*inside)) {
				return fmt.Errorf("process %d is in here as well", *inside)
			}
			*inside = int64(os.Getpid())
			spin(rng.IntN(200))
			*inside = 0
			return k.A.Release(ctx)
		})
	case 2:
		return within(k.R.Recover(short), func(ctx context.Context) error {
			return errors.Join(k.R.Acquire(ctx), k.R.Release(ctx), k.R.Release(ctx))
		})
	case 3:
		return within(k.Sem.Acquire(short), func(ctx context.Context) error { spin(rng.IntN(100)); return k.Sem.Release(ctx, 1) })
	case 4:
		return errors.Join(k.Event.Set(ctx), k.Event.Clear(ctx))
	case 5:
		timed, cancel := context.WithTimeout(ctx, time.Millisecond)
		defer cancel()
		return within(k.Event.Wait(timed), func(context.Context) error { return nil })
	case 6:
		return within(k.R.Recover(short), func(ctx context.Context) error {
			timed, cancel := context.WithTimeout(ctx, time.Millisecond)
			defer cancel()
			if err := errors.Join(k.Cond.Notify(ctx, 1), k.Cond.Wait(timed)); errors.Is(err, tristrand.ErrNotHeld) {
				if errors.Is(err, tristrand.ErrOwnerDied) {
					return nil
				}
				return err
			}
			return k.R.Release(ctx)
		})
	default:
		timed, cancel := context.WithTimeout(ctx, time.Millisecond)
		defer cancel()
		_, err := k.Barrier.Wait(timed)
		return within(err, func(context.Context) error { return nil })
	}
}

// dead reports whether a process has ended, reaped or not.
func dead(pid int) bool {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return true
	}
	var state byte
	_, _ = fmt.Sscanf(string(text[lastParen(text):]), ") %c", &state)
	return state == 'Z' || state == 'X'
}

func spin(n int) {
	x := uint64(1)
	for range n * 10 {
		x = x*6364136223846793005 + 1
	}
	if x == 0 {
		panic("never")
	}
}

// Processes that use everything are killed at random moments; afterwards
// everything works and nothing is lost.
func TestAStormOfKills(t *testing.T) {
	ctx, k := adopt(t), newKit(t)
	kills := 50
	switch {
	case os.Getenv("TRISTRAND_SOAK") != "":
		kills = 1000
	case testing.Short():
		kills = 15
	}
	over := make(chan struct{})
	result := make(chan error, 1)
	inside := k.counter()
	go func() {
		result <- storm(context.Background(), k, inside, 3, func() bool {
			select {
			case <-over:
				return true
			default:
				return false
			}
		})
	}()
	rng := rand.New(rand.NewPCG(1, uint64(time.Now().UnixNano())))
	var alive []*actor
	for range kills {
		for len(alive) < 3 {
			o := start(t, "storm", k)
			if got := o.hear(); got != "ready" {
				t.Fatal(got)
			}
			alive = append(alive, &actor{other: o})
		}
		time.Sleep(time.Duration(rng.IntN(3000)) * time.Microsecond)
		i := rng.IntN(len(alive))
		alive[i].murder()
		alive = append(alive[:i], alive[i+1:]...)
	}
	for _, a := range alive {
		a.murder()
	}
	close(over)
	select {
	case err := <-result:
		if err != nil {
			t.Fatal(err)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("strands of the surviving process do not come back")
	}
	usable(ctx, t, k)
}

// usable checks that everything works and is free.
func usable(ctx context.Context, t *testing.T, k *kit) {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	for _, l := range []tristrand.Locker{k.A, k.B, k.C, k.R} {
		if err := errors.Join(l.Recover(ctx), l.Release(ctx)); err != nil {
			t.Errorf("%v: %v", l, err)
		}
		if st := locks(ctx, t, l); st.Holder != nil || st.Waiting != 0 {
			t.Errorf("%v: %+v", l, st)
		}
	}
	if err := errors.Join(k.Sem.Acquire(ctx), k.Sem.Acquire(ctx), k.Sem.Release(ctx, 2)); err != nil {
		t.Errorf("the semaphore: %v: %+v", err, must(k.Sem.State(ctx)))
	}
	is(t, k.Sem.Release(ctx, 1), tristrand.ErrOverRelease, "Release of one too many")
	if err := errors.Join(k.Event.Set(ctx), k.Event.Wait(ctx), k.Event.Clear(ctx), k.Barrier.Reset(ctx)); err != nil {
		t.Error(err)
	}
	if st := must(k.Event.State(ctx)); st.Waiting != 0 {
		t.Errorf("the event: %+v", st)
	}
}

// A process that is stopped in the middle of an operation keeps nobody longer
// than their time, and everything goes on when it does.
func TestStoppedInTheMiddle(t *testing.T) {
	ctx, k := adopt(t), newKit(t)
	a := newActor(t, k)
	a.say("ann stop sem")
	a.say("bob stop barrier")
	until(t, "they have stopped", func() bool { return k.word(stoppedWord).Load() == 2 })
	short := func() context.Context {
		ctx, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
		t.Cleanup(cancel)
		return ctx
	}
	is(t, k.Sem.Acquire(short()), context.DeadlineExceeded, "Acquire")
	_, err := k.Barrier.Wait(short())
	is(t, err, context.DeadlineExceeded, "Wait")
	if st := must(k.Sem.State(ctx)); st.Bound != 2 {
		t.Errorf("%+v", st)
	}
	k.word(goOnWord).Store(1)
	if err := errors.Join(k.Sem.Acquire(ctx), k.Sem.Release(ctx, 1)); err != nil {
		t.Error(err)
	}
	until(t, "the barrier is broken by the one who left", func() bool { return must(k.Barrier.State(ctx)).Broken })
}
