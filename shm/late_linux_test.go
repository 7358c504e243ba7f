package shm_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/internal/parcel"
	"github.com/tristrand/tristrand/shm"
	"github.com/tristrand/tristrand/strand"
)

// Who waits finds out about the death of one who has come since, and whose parent does
// not know of the object.
func TestTheDeathOfALatecomer(t *testing.T) {
	for _, others := range []int{0, 6} { // more than sleep in a thread each
		t.Run(fmt.Sprint(others, " wait besides"), func(t *testing.T) {
			ctx, k := adopt(t), newKit(t)
			a := newActor(t, k)
			for n := range others {
				a.say(fmt.Sprintf("other%d wait event", n))
			}
			until(t, "the others wait", func() bool { return must(k.Event.State(ctx)).Waiting == others })
			a.say("ann wait barrier")
			until(t, "one waits", func() bool { return must(k.Barrier.State(ctx)).Waiting == 1 })
			b := newActor(t, k)
			b.say("bob wait barrier")
			until(t, "two wait", func() bool { return must(k.Barrier.State(ctx)).Waiting == 2 })
			b.murder()
			if got, want := a.answer(), "ann wait barrier: "+tristrand.ErrBroken.Error(); !strings.HasPrefix(got, want) {
				t.Errorf("the actor said %q, want %q", got, want)
			}
		})
	}
}

// Places that are about to be free are waited for.
func TestJoiningWaitsForThoseWhoGo(t *testing.T) {
	l := must(shm.NewLock(""))
	defer l.Close()
	if err := l.JoinAgain(20 * time.Millisecond); err != nil {
		t.Error(err)
	}
}

// A getter that was told of an item, and whose ctx ends before it can look, takes it or
// leaves it to another.
func TestAWakeIsNotLostToTheEndOfACtx(t *testing.T) {
	ctx := adopt(t)
	q := must(shm.NewQueue[[]byte]("", 0))
	defer q.Close()
	first, cancel := context.WithCancel(ctx)
	got := make(chan error, 2)
	get := func(ctx context.Context) {
		strand.Go(ctx, strand.Options{Kind: strand.Thread}, func(ctx context.Context) {
			_, err := q.Get(ctx)
			got <- err
		})
	}
	get(first)
	until(t, "one waits", func() bool { return must(q.State(ctx)).Getting == 1 })
	get(ctx)
	until(t, "two wait", func() bool { return must(q.State(ctx)).Getting == 2 })
	var early []error
	err := q.PutHeld([]byte("x"), func() {
		cancel()
		select {
		case err := <-got:
			early = append(early, err)
		case <-time.After(100 * time.Millisecond):
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range early {
		is(t, err, context.Canceled, "Get")
	}
	for {
		select {
		case err := <-got:
			if err != nil {
				continue
			}
		case <-time.After(20 * time.Second):
			t.Error("nobody has got the item")
		}
		break
	}
	if err := q.Shutdown(ctx, tristrand.Discard); err != nil {
		t.Error(err)
	}
}

// What a dead process held is not given back while another releases it.
func TestADeathDuringARelease(t *testing.T) {
	m := must(shm.NewBoundedSemaphore("", 1))
	defer m.Close()
	if !m.GiveBack() {
		t.Error("it was given back in the middle of another operation")
	}
}

// The last party dies before it has begun the next round.
func TestTheLastPartyDiesAsItArrives(t *testing.T) {
	ctx, k := adopt(t), newKit(t)
	a, b, c := newActor(t, k), newActor(t, k), newActor(t, k)
	a.say("ann wait barrier")
	b.say("bob wait barrier")
	until(t, "two wait", func() bool { return must(k.Barrier.State(ctx)).Waiting == 2 })
	c.say("cid die first")
	a.expect("ann wait barrier: <nil>")
	b.expect("bob wait barrier: <nil>")
	if st := must(k.Barrier.State(ctx)); st.Waiting != 0 || st.Broken {
		t.Errorf("the barrier is %+v, want it whole and empty", st)
	}
}

// Who breaks a barrier dies before the parties have been told.
func TestABarrierIsBrokenByTheDying(t *testing.T) {
	ctx, k := adopt(t), newKit(t)
	a, b := newActor(t, k), newActor(t, k)
	a.say("ann wait barrier")
	until(t, "one waits", func() bool { return must(k.Barrier.State(ctx)).Waiting == 1 })
	b.say("bob die breaking")
	if got, want := a.answer(), "ann wait barrier: "+tristrand.ErrBroken.Error(); !strings.HasPrefix(got, want) {
		t.Errorf("the actor said %q, want %q", got, want)
	}
}

// forgetPart acquires a semaphore and forgets that it has one.
func forgetPart(in []byte, lines *bufio.Scanner, out io.Writer) error {
	k := new(kit)
	if err := cbor.Unmarshal(in, k); err != nil {
		return err
	}
	if err := k.Sem.Acquire(context.Background()); err != nil {
		return err
	}
	for range 20 {
		runtime.GC()
		time.Sleep(2 * time.Millisecond)
	}
	fmt.Fprintln(out, "forgotten")
	lines.Scan()
	return nil
}

// What a living process has acquired stays so, also if it has no handle any more.
func TestASemaphoreOfWhichTheHandleIsGarbage(t *testing.T) {
	ctx, k := adopt(t), newKit(t)
	o := start(t, "forget", k)
	o.hear()
	if st := must(k.Sem.State(ctx)); st.Free != 1 {
		t.Errorf("the state is %+v, want 1 free", st)
	}
	o.end(true)
	until(t, "it is given back by the death", func() bool {
		is(t, errors.Join(k.A.TryAcquire(ctx), k.A.Release(ctx)), nil, "a lock")
		short, cancel := context.WithTimeout(ctx, time.Millisecond)
		defer cancel()
		is(t, k.Event.Wait(short), context.DeadlineExceeded, "Wait") // who waits finds out
		return must(k.Sem.State(ctx)).Free == 2
	})
}

// A condition that was sent and closed leaves nothing behind.
func TestAConditionTakesItsLockAlong(t *testing.T) {
	l := must(shm.NewLock(""))
	defer l.Close()
	before := l.Objects()
	for range 10 {
		c := must(shm.NewCondition("", nil))
		var p parcel.Parcel
		if err := errors.Join(c.Carry(&p), c.Close(), p.Abandon()); err != nil {
			t.Fatal(err)
		}
	}
	if after := l.Objects(); after > before {
		t.Errorf("there are %d objects, and were %d", after, before)
	}
}
