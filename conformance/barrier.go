package conformance

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/strand"
)

// A BarrierMaker makes a new barrier. action is called by one party before
// anyone goes on; nil does nothing. It panics for a number of parties that makes
// no sense. A kind of barrier that has no action leaves the rules about it out
// with Options.Skip.
type BarrierMaker func(ctx context.Context, t testing.TB, parties int, action func(ctx context.Context) error) tristrand.Barrier

// Barrier checks what lets a number of parties wait for each other.
func Barrier(t *testing.T, mk BarrierMaker, o Options) {
	t.Helper()
	runRules(t, barrierRules(), mk, o)
}

func barrierRules() []rule[BarrierMaker] {
	return []rule[BarrierMaker]{
		{"less than one party is refused", "there is at least one party", anyWorld, barrierNone},
		{"a party alone never waits", "Wait waits until all parties have called it", anyWorld, barrierOne},
		{"all meet, again and again", "Wait waits until all parties have called it, again and again", anyWorld, barrierPasses},
		{"the turns are the numbers from 0", "returns which of them, from 0, the caller was", anyWorld, barrierTurns},
		{"the action runs once a pass, before anyone goes on", "Action is called by the last party to arrive", anyWorld, barrierAction},
		{"an action that fails breaks it", "its error is that party's, and breaks the barrier for the others", anyWorld, barrierActionFails},
		{"an action that panics breaks it", "so does its panic", anyWorld, barrierActionPanics},
		{"Abort breaks it for all", "ErrBroken until Reset", anyWorld, barrierAbort},
		{"Reset sends those who wait away, and it is whole", "Reset makes it whole and empty; those who wait get ErrBroken", anyWorld, barrierReset},
		{"Reset mends a broken one", "ErrBroken until Reset", anyWorld, barrierMend},
		{"a party that gives up breaks it for all", "a party whose ctx ends breaks the barrier", anyWorld, barrierTimeout},
		{"a ctx that has ended breaks it", "a party whose ctx ends breaks the barrier", anyWorld, barrierEndedContext},
		{"State tells who has come", "BarrierState", anyWorld, barrierState},
		{"a storm of resets and time-outs leaves it usable", "each Wait is settled once", anyWorld, barrierStorm},
	}
}

func (r *run) barrierState(ctx context.Context, b tristrand.Barrier) tristrand.BarrierState {
	r.Helper()
	st, err := b.State(ctx)
	r.must(err, "State")
	return st
}

func (r *run) isBarrier(ctx context.Context, b tristrand.Barrier, waiting int, broken bool) {
	r.Helper()
	if st := r.barrierState(ctx, b); st.Waiting != waiting || st.Broken != broken {
		r.Errorf("the barrier's state is %+v, want %d waiting and broken=%v", st, waiting, broken)
	}
}

// comers starts n strands that call Wait once and returns when they wait.
func (r *run) comers(ctx context.Context, b tristrand.Barrier, n int) []*party {
	r.Helper()
	var ps []*party
	for i := range n {
		ps = append(ps, r.start(ctx, fmt.Sprint("party ", i), func(ctx context.Context) error {
			_, err := b.Wait(ctx)
			return err
		}))
	}
	r.until(ctx, fmt.Sprintf("%d parties wait", n), func() bool { return r.barrierState(ctx, b).Waiting == n })
	return ps
}

// allBroken joins them all and checks that they got ErrBroken.
func (r *run) allBroken(ctx context.Context, ps []*party) {
	r.Helper()
	for _, p := range ps {
		r.is(p.join(ctx), "Wait at a barrier that broke", tristrand.ErrBroken)
	}
}

// meet has n parties meet once.
func (r *run) meet(ctx context.Context, b tristrand.Barrier, n int) {
	r.Helper()
	ps := r.comers(ctx, b, n-1)
	_, err := b.Wait(ctx)
	r.must(err, "Wait of the last party")
	r.joinAll(ctx, ps...)
	r.isBarrier(ctx, b, 0, false)
}

func barrierNone(ctx context.Context, r *run, mk BarrierMaker) {
	for _, n := range []int{0, -1} {
		func() {
			defer func() {
				if recover() == nil {
					r.Errorf("a barrier for %d parties was made", n)
				}
			}()
			mk(ctx, r, n, nil)
		}()
	}
}

func barrierOne(ctx context.Context, r *run, mk BarrierMaker) {
	b := mk(ctx, r, 1, nil)
	for range 3 {
		turn, err := b.Wait(ctx)
		r.must(err, "Wait")
		if turn != 0 {
			r.Errorf("the only party was number %d", turn)
		}
		r.isBarrier(ctx, b, 0, false)
	}
}

func barrierPasses(ctx context.Context, r *run, mk BarrierMaker) {
	const parties, passes = 5, 10
	b := mk(ctx, r, parties, nil)
	r.meet(ctx, b, parties)
	at := make([]int, parties) // each party writes its own and reads all between two passes
	var ps []*party
	for i := range parties {
		ps = append(ps, r.start(ctx, fmt.Sprint("party ", i), func(ctx context.Context) error {
			for pass := range passes {
				at[i] = pass
				if _, err := b.Wait(ctx); err != nil {
					return err
				}
				for k, p := range at {
					if p != pass {
						r.Errorf("in pass %d party %d was at %d", pass, k, p)
					}
				}
				if _, err := b.Wait(ctx); err != nil {
					return err
				}
			}
			return nil
		}))
	}
	r.joinAll(ctx, ps...)
	r.isBarrier(ctx, b, 0, false)
}

func barrierTurns(ctx context.Context, r *run, mk BarrierMaker) {
	const parties = 5
	b := mk(ctx, r, parties, nil)
	turns := make([]int, parties)
	var ps []*party
	for i := range parties {
		ps = append(ps, r.start(ctx, fmt.Sprint("party ", i), func(ctx context.Context) (err error) {
			turns[i], err = b.Wait(ctx)
			return err
		}))
	}
	r.joinAll(ctx, ps...)
	slices.Sort(turns)
	if got := fmt.Sprint(turns); got != "[0 1 2 3 4]" {
		r.Errorf("the turns were %s", got)
	}
}

func barrierAction(ctx context.Context, r *run, mk BarrierMaker) {
	const parties, passes = 4, 6
	ran := 0
	b := mk(ctx, r, parties, func(context.Context) error { ran++; return nil })
	var ps []*party
	for i := range parties {
		ps = append(ps, r.start(ctx, fmt.Sprint("party ", i), func(ctx context.Context) error {
			for pass := range passes {
				if _, err := b.Wait(ctx); err != nil {
					return err
				}
				// The next pass cannot come before this party does.
				if ran != pass+1 {
					r.Errorf("after pass %d the action has run %d times", pass, ran)
				}
			}
			return nil
		}))
	}
	r.joinAll(ctx, ps...)
}

func barrierActionFails(ctx context.Context, r *run, mk BarrierMaker) {
	fail := true
	b := mk(ctx, r, 3, func(context.Context) error {
		if fail {
			return errGaveUp
		}
		return nil
	})
	ps := r.comers(ctx, b, 2)
	_, err := b.Wait(ctx)
	r.is(err, "Wait of the party whose action fails", errGaveUp)
	r.allBroken(ctx, ps)
	r.isBarrier(ctx, b, 0, true)
	fail = false
	r.must(b.Reset(ctx), "Reset")
	r.meet(ctx, b, 3)
}

func barrierActionPanics(ctx context.Context, r *run, mk BarrierMaker) {
	bad := true
	b := mk(ctx, r, 3, func(context.Context) error {
		if bad {
			panic(errGaveUp)
		}
		return nil
	})
	ps := r.comers(ctx, b, 2)
	_, err := b.Wait(ctx)
	var pe *tristrand.PanicError
	if !errors.As(err, &pe) || pe.Value != any(errGaveUp) {
		r.Errorf("Wait of the party whose action panics: %v, want a PanicError", err)
	}
	r.allBroken(ctx, ps)
	r.isBarrier(ctx, b, 0, true)
	bad = false
	r.must(b.Reset(ctx), "Reset")
	r.meet(ctx, b, 3)
}

func barrierAbort(ctx context.Context, r *run, mk BarrierMaker) {
	b := mk(ctx, r, 4, nil)
	ps := r.comers(ctx, b, 3)
	for range 2 { // again is harmless
		r.must(b.Abort(ctx), "Abort")
	}
	r.allBroken(ctx, ps)
	r.isBarrier(ctx, b, 0, true)
	for range 2 {
		_, err := b.Wait(ctx)
		r.is(err, "Wait at a broken barrier", tristrand.ErrBroken)
	}
	r.isBarrier(ctx, b, 0, true)
}

func barrierReset(ctx context.Context, r *run, mk BarrierMaker) {
	b := mk(ctx, r, 4, nil)
	r.must(b.Reset(ctx), "Reset of an empty barrier")
	r.isBarrier(ctx, b, 0, false)
	ps := r.comers(ctx, b, 3)
	r.must(b.Reset(ctx), "Reset")
	r.isBarrier(ctx, b, 0, false)
	// Those who come now belong to the new round, whatever the old ones do.
	late := r.comers(ctx, b, 3)
	r.allBroken(ctx, ps)
	r.isBarrier(ctx, b, 3, false)
	_, err := b.Wait(ctx)
	r.must(err, "Wait of the last party")
	r.joinAll(ctx, late...)
	r.meet(ctx, b, 4)
}

func barrierMend(ctx context.Context, r *run, mk BarrierMaker) {
	b := mk(ctx, r, 3, nil)
	for range 2 {
		ps := r.comers(ctx, b, 2)
		r.must(b.Abort(ctx), "Abort")
		r.must(b.Reset(ctx), "Reset")
		r.allBroken(ctx, ps)
		r.meet(ctx, b, 3)
	}
}

func barrierTimeout(ctx context.Context, r *run, mk BarrierMaker) {
	b := mk(ctx, r, 4, nil)
	ps := r.comers(ctx, b, 2)
	began := r.now(ctx)
	short, cancel := strand.WithTimeout(ctx, shortly)
	defer cancel()
	_, err := b.Wait(short)
	r.is(err, "Wait of the one who gives up", context.DeadlineExceeded)
	r.took(ctx, began, shortly, "the wait")
	r.allBroken(ctx, ps)
	r.isBarrier(ctx, b, 0, true)
	_, err = b.Wait(ctx)
	r.is(err, "Wait of a late party", tristrand.ErrBroken)
	r.must(b.Reset(ctx), "Reset")
	r.meet(ctx, b, 4)

	child, cancel2 := r.withCancel(ctx)
	one := r.comers(child, b, 1)
	cancel2(errGaveUp)
	r.is(one[0].join(ctx), "the cancelled wait", context.Canceled, errGaveUp)
	r.isBarrier(ctx, b, 0, true)
}

func barrierEndedContext(ctx context.Context, r *run, mk BarrierMaker) {
	b := mk(ctx, r, 3, nil)
	ps := r.comers(ctx, b, 1)
	over := r.ended(ctx)
	_, err := b.Wait(over)
	r.is(err, "Wait with a ctx that has ended", context.Canceled, errGaveUp)
	r.allBroken(ctx, ps)
	r.isBarrier(over, b, 0, true)
	r.must(b.Reset(over), "Reset")
	r.meet(ctx, b, 3)
	r.must(b.Abort(over), "Abort")
	r.isBarrier(ctx, b, 0, true)
}

func barrierState(ctx context.Context, r *run, mk BarrierMaker) {
	b := mk(ctx, r, 3, nil)
	look := func(waiting int, broken bool) {
		want := tristrand.BarrierState{Parties: 3, Waiting: waiting, Broken: broken}
		if st := r.barrierState(ctx, b); st != want {
			r.Errorf("the state is %+v, want %+v", st, want)
		}
	}
	look(0, false)
	ps := r.comers(ctx, b, 1)
	look(1, false)
	r.must(b.Abort(ctx), "Abort")
	look(0, true)
	r.allBroken(ctx, ps)
	r.must(b.Reset(ctx), "Reset")
	look(0, false)
}

// barrierStorm has parties give up at any time and one strand mend the barrier;
// nobody may be left waiting, and nobody passes alone.
func barrierStorm(ctx context.Context, r *run, mk BarrierMaker) {
	const parties = 3
	b := mk(ctx, r, parties, nil)
	rounds := r.many(40)
	passed := make([]int, parties)
	var ps []*party
	for i := range parties {
		ps = append(ps, r.start(ctx, fmt.Sprint("party ", i), func(ctx context.Context) error {
			rng := r.rand(i)
			for range rounds {
				short, cancel := strand.WithTimeout(ctx, time.Duration(rng.IntN(1000))*time.Microsecond)
				_, err := b.Wait(short)
				cancel()
				switch {
				case err == nil:
					passed[i]++
				case errors.Is(err, tristrand.ErrBroken):
					err = b.Reset(ctx)
				case errors.Is(err, context.DeadlineExceeded):
					err = nil
				}
				if err != nil {
					return err
				}
			}
			return nil
		}))
	}
	r.joinAll(ctx, ps...)
	if slices.Min(passed) != slices.Max(passed) {
		r.Errorf("the parties have passed %v times, want all the same", passed)
	}
	r.must(b.Reset(ctx), "Reset")
	r.meet(ctx, b, parties)
}
