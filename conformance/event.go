package conformance

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/strand"
)

// An EventMaker makes a new event that is clear.
type EventMaker func(ctx context.Context, t testing.TB) tristrand.Event

// Event checks a flag to wait for.
func Event(t *testing.T, mk EventMaker, o Options) {
	t.Helper()
	runRules(t, eventRules(), mk, o)
}

func eventRules() []rule[EventMaker] {
	return []rule[EventMaker]{
		{"Set and Clear may be repeated", "works as a zero value; EventState", anyWorld, eventState},
		{"all who wait pass when it is set", "Wait waits until the flag is set", anyWorld, eventNotify},
		{"who waits passes although Clear follows Set at once", "every strand waiting at Set passes, even if Clear follows", anyWorld, eventSetAndClear},
		{"a hundred pass although Clear follows Set at once", "every strand waiting at Set passes, even if Clear follows", anyWorld, eventSetAndClear100},
		{"a strand that passed may wait again and set again", "every strand waiting at Set passes", anyWorld, eventAgain},
		{"a time-out ends a wait", "ctx says how long", anyWorld, eventTimeout},
		{"a ctx that has ended is an error, also when it is set", "a ctx ended before the call is an error and changes nothing", anyWorld, eventEndedContext},
		{"a cancelled wait returns the ctx's error and its cause", "errors match ctx.Err and the cause", anyWorld, eventCancel},
		{"a storm of time-outs leaves it usable", "each Wait is settled once", anyWorld, eventStorm},
		{"goroutines that are no strands wait and set", "a nameless caller may use everything", openWorld, eventNameless},
	}
}

func (r *run) eventState(ctx context.Context, e tristrand.Event) tristrand.EventState {
	r.Helper()
	st, err := e.State(ctx)
	r.must(err, "State")
	return st
}

func (r *run) isSet(ctx context.Context, e tristrand.Event, set bool, waiting int) {
	r.Helper()
	if st := r.eventState(ctx, e); st.Set != set || st.Waiting != waiting {
		r.Errorf("the event's state is %+v, want set=%v with %d waiting", st, set, waiting)
	}
}

func (r *run) untilEventWaiting(ctx context.Context, e tristrand.Event, n int) {
	r.Helper()
	r.until(ctx, fmt.Sprintf("%d strands wait for the event", n), func() bool { return r.eventState(ctx, e).Waiting == n })
}

// eventWaiters starts n strands that wait for e, and returns when they do.
func (r *run) eventWaiters(ctx context.Context, e tristrand.Event, n int) []*party {
	r.Helper()
	var ps []*party
	for i := range n {
		ps = append(ps, r.start(ctx, fmt.Sprint("waiter ", i), e.Wait))
	}
	r.untilEventWaiting(ctx, e, n)
	return ps
}

func eventState(ctx context.Context, r *run, mk EventMaker) {
	e := mk(ctx, r)
	r.isSet(ctx, e, false, 0)
	for range 2 {
		for range 2 {
			r.must(e.Set(ctx), "Set")
			r.isSet(ctx, e, true, 0)
		}
		r.must(e.Wait(ctx), "Wait when it is set")
		for range 2 {
			r.must(e.Clear(ctx), "Clear")
			r.isSet(ctx, e, false, 0)
		}
	}
}

func eventNotify(ctx context.Context, r *run, mk EventMaker) {
	e := mk(ctx, r)
	for range 2 { // it works again after Clear
		ps := r.eventWaiters(ctx, e, 5)
		r.settle(ctx)
		for _, p := range ps {
			if p.ended() {
				r.Errorf("a strand passed an event that was clear")
			}
		}
		r.must(e.Set(ctx), "Set")
		r.joinAll(ctx, ps...)
		r.isSet(ctx, e, true, 0)
		r.must(e.Wait(ctx), "Wait when it is set")
		r.must(e.Wait(ctx), "Wait when it is set, again")
		r.must(e.Clear(ctx), "Clear")
	}
}

func eventSetAndClear(ctx context.Context, r *run, mk EventMaker)    { eventPulse(ctx, r, mk, 1) }
func eventSetAndClear100(ctx context.Context, r *run, mk EventMaker) { eventPulse(ctx, r, mk, 100) }

func eventPulse(ctx context.Context, r *run, mk EventMaker, n int) {
	e := mk(ctx, r)
	ps := r.eventWaiters(ctx, e, n)
	r.must(e.Set(ctx), "Set")
	r.must(e.Clear(ctx), "Clear")
	r.joinAll(ctx, ps...)
	r.isSet(ctx, e, false, 0)
	late := r.eventWaiters(ctx, e, 1) // waits again
	r.must(e.Set(ctx), "Set")
	r.joinAll(ctx, late...)
}

func eventAgain(ctx context.Context, r *run, mk EventMaker) {
	ping, pong := mk(ctx, r), mk(ctx, r)
	rounds := 5
	p := r.start(ctx, "pong", func(ctx context.Context) error {
		for range rounds {
			if err := errors.Join(ping.Wait(ctx), ping.Clear(ctx), pong.Set(ctx)); err != nil {
				return err
			}
		}
		return nil
	})
	for range rounds {
		r.must(errors.Join(ping.Set(ctx), pong.Wait(ctx), pong.Clear(ctx)), "a round")
	}
	r.joinAll(ctx, p)
}

func eventTimeout(ctx context.Context, r *run, mk EventMaker) {
	e := mk(ctx, r)
	began := r.now(ctx)
	short, cancel := strand.WithTimeout(ctx, shortly)
	defer cancel()
	r.is(e.Wait(short), "Wait for a clear event", context.DeadlineExceeded)
	r.took(ctx, began, shortly, "the wait")
	r.isSet(ctx, e, false, 0)
	none, cancel2 := strand.WithTimeout(ctx, 0)
	defer cancel2()
	r.is(e.Wait(none), "Wait with no time", context.DeadlineExceeded)
	long, cancel3 := strand.WithTimeout(ctx, time.Hour)
	defer cancel3()
	r.must(e.Set(ctx), "Set")
	r.must(e.Wait(long), "Wait for an event that is set")
}

func eventEndedContext(ctx context.Context, r *run, mk EventMaker) {
	e, over := mk(ctx, r), r.ended(ctx)
	r.is(e.Wait(over), "Wait for a clear event", context.Canceled, errGaveUp)
	r.must(e.Set(over), "Set")
	r.is(e.Wait(over), "Wait for an event that is set", context.Canceled, errGaveUp)
	r.isSet(over, e, true, 0)
	r.must(e.Clear(over), "Clear")
	r.isSet(ctx, e, false, 0)
}

func eventCancel(ctx context.Context, r *run, mk EventMaker) {
	e := mk(ctx, r)
	child, cancel := r.withCancel(ctx)
	p := r.start(child, "gives up", func(ctx context.Context) error {
		r.is(e.Wait(ctx), "the cancelled wait", context.Canceled, errGaveUp)
		return nil
	})
	stays := r.start(ctx, "stays", e.Wait)
	r.untilEventWaiting(ctx, e, 2)
	cancel(errGaveUp)
	r.joinAll(ctx, p)
	r.untilEventWaiting(ctx, e, 1)
	r.must(e.Set(ctx), "Set")
	r.joinAll(ctx, stays)
}

func eventStorm(ctx context.Context, r *run, mk EventMaker) {
	e := mk(ctx, r)
	var ps []*party
	rounds := r.many(40)
	for i := range r.many(12) {
		ps = append(ps, r.start(ctx, fmt.Sprint("strand ", i), func(ctx context.Context) error {
			rng := r.rand(i)
			for range rounds {
				d := time.Duration(rng.IntN(1000)) * time.Microsecond
				short, cancel := strand.WithTimeout(ctx, d)
				var err error
				switch rng.IntN(4) {
				case 0:
					err = errors.Join(e.Set(ctx), e.Clear(ctx))
				default:
					err = e.Wait(short)
				}
				cancel()
				if err != nil && !errors.Is(err, context.DeadlineExceeded) {
					return err
				}
			}
			return nil
		}))
	}
	r.joinAll(ctx, ps...)
	r.isSet(ctx, e, false, 0)
}

func eventNameless(ctx context.Context, r *run, mk EventMaker) {
	ping, pong := mk(ctx, r), mk(ctx, r)
	var done atomic.Bool
	go func() {
		defer done.Store(true)
		if err := errors.Join(ping.Wait(ctx), pong.Set(context.Background())); err != nil {
			r.Errorf("%v", err)
		}
	}()
	r.untilEventWaiting(ctx, ping, 1)
	r.must(ping.Set(ctx), "Set")
	r.must(pong.Wait(ctx), "Wait for what a goroutine sets")
	r.until(ctx, "the goroutine is done", done.Load)
}
