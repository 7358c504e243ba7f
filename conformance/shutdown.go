package conformance

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/strand"
)

// shutdownRules are about the end of a queue.
func shutdownRules(o order) []rule[QueueMaker] {
	return []rule[QueueMaker]{
		{"a queue that is shut down empty refuses all", "ErrShutdown; Get: once empty", anyWorld, shutdownEmpty},
		{"Drain lets what is in it be got", "Drain: they can still be got", anyWorld, ordered(o, shutdownDrain)},
		{"Discard drops what is in it", "Discard: they are dropped", anyWorld, shutdownDiscard},
		{"Discard may follow Drain, and nothing undoes either", "again is harmless; Discard may follow Drain", anyWorld, shutdownTwice},
		{"getters that wait get ErrShutdown", "Shutdown wakes all who wait", anyWorld, shutdownGetters},
		{"putters that wait get ErrShutdown, and put nothing", "Shutdown wakes all who wait", anyWorld, shutdownPutters},
		{"of three getters and two items one gets ErrShutdown", "Get returns ErrShutdown once the queue is shut down and empty", anyWorld, shutdownRemaining},
		{"readers and writers all end when it is shut down", "Shutdown wakes all who wait", anyWorld, shutdownMidstream},
	}
}

// joinRules are about queues that count unfinished work; other queues pass.
func joinRules() []rule[QueueMaker] {
	return []rule[QueueMaker]{
		{"TaskDone once too often is refused", "ErrOverRelease, and nothing has changed", anyWorld, joinable(joinTooMany)},
		{"Join waits until all work is done", "Join waits until the work on every item that was put is done", anyWorld, joinable(joinWaits)},
		{"Join of an idle queue returns at once, and again", "Join waits until the work on every item that was put is done", anyWorld, joinable(joinIdle)},
		{"a time-out ends a Join", "ctx says how long", anyWorld, joinable(joinTimeout)},
		{"Discard counts what it drops as done", "Discard: they are dropped", anyWorld, joinable(joinDiscard)},
		{"Join goes on after Drain", "Drain: they can still be got", anyWorld, joinable(joinDrain)},
	}
}

func joinable(check func(context.Context, *run, func(bound int) tristrand.JoinableQueue[int])) func(context.Context, *run, QueueMaker) {
	return func(ctx context.Context, r *run, mk QueueMaker) {
		if _, ok := mk(ctx, r, 0).(tristrand.JoinableQueue[int]); ok {
			check(ctx, r, func(bound int) tristrand.JoinableQueue[int] {
				return mk(ctx, r, bound).(tristrand.JoinableQueue[int])
			})
		}
	}
}

var bothWays = []tristrand.Shutdown{tristrand.Drain, tristrand.Discard}

// refused checks that every operation on the empty queue returns ErrShutdown.
func (r *run) refused(ctx context.Context, q tristrand.Queue[int]) {
	r.Helper()
	_, getErr := q.Get(ctx)
	_, tryErr := q.TryGet(ctx)
	for name, err := range map[string]error{"Put": q.Put(ctx, 1), "TryPut": q.TryPut(ctx, 1), "Get": getErr, "TryGet": tryErr} {
		r.is(err, name+" after Shutdown", tristrand.ErrShutdown)
	}
	if st := r.queueState(ctx, q); !st.Shutdown || st.Len != 0 {
		r.Errorf("the state is %+v, want an empty queue that is shut down", st)
	}
}

func shutdownEmpty(ctx context.Context, r *run, mk QueueMaker) {
	for _, how := range bothWays {
		for _, bound := range []int{0, 2} {
			q := mk(ctx, r, bound)
			r.must(q.Shutdown(ctx, how), "Shutdown")
			r.refused(ctx, q)
		}
	}
}

func shutdownDrain(ctx context.Context, r *run, mk QueueMaker, o order) {
	q := mk(ctx, r, 3)
	put := r.fill(ctx, q, 3)
	r.must(q.Shutdown(ctx, tristrand.Drain), "Shutdown")
	err := q.TryPut(ctx, 9) // neither full nor shut down may hide the other
	r.is(err, "TryPut into what is full and shut down", tristrand.ErrShutdown)
	r.is(q.Put(ctx, 9), "Put", tristrand.ErrShutdown)
	v, err := q.Get(ctx)
	r.must(err, "Get of what is left")
	if want := o(put); v != want[0] {
		r.Errorf("got %d, want %d", v, want[0])
	}
	r.is(q.TryPut(ctx, 9), "TryPut with room", tristrand.ErrShutdown)
	r.gets(ctx, q, o(put)[1:]...)
	r.refused(ctx, q)
}

func shutdownDiscard(ctx context.Context, r *run, mk QueueMaker) {
	q := mk(ctx, r, 3)
	r.fill(ctx, q, 3)
	r.must(q.Shutdown(ctx, tristrand.Discard), "Shutdown")
	r.refused(ctx, q)
}

func shutdownTwice(ctx context.Context, r *run, mk QueueMaker) {
	q := mk(ctx, r, 0)
	r.fill(ctx, q, 3)
	for range 2 {
		r.must(q.Shutdown(ctx, tristrand.Drain), "Shutdown")
	}
	r.holds(ctx, q, 3)
	r.must(q.Shutdown(ctx, tristrand.Discard), "Shutdown")
	r.refused(ctx, q)
	r.must(q.Shutdown(ctx, tristrand.Drain), "Shutdown")
	r.must(q.Shutdown(ctx, tristrand.Discard), "Shutdown")
	r.refused(ctx, q)
}

func shutdownGetters(ctx context.Context, r *run, mk QueueMaker) {
	for _, how := range bothWays {
		q, v := mk(ctx, r, 0), 0
		var ps []*party
		for i := range 3 {
			ps = append(ps, r.start(ctx, fmt.Sprint("getter ", i), func(ctx context.Context) error {
				_, err := q.Get(ctx)
				r.is(err, "the Get that waited", tristrand.ErrShutdown)
				return nil
			}))
		}
		r.untilGetting(ctx, q, 3)
		r.must(q.Shutdown(ctx, how), "Shutdown")
		r.joinAll(ctx, ps...)
		r.refused(ctx, q)
		if v != 0 {
			r.Errorf("got %d", v)
		}
	}
}

func shutdownPutters(ctx context.Context, r *run, mk QueueMaker) {
	for _, how := range bothWays {
		q := mk(ctx, r, 1)
		r.fill(ctx, q, 1)
		var ps []*party
		for i := range 3 {
			ps = append(ps, r.start(ctx, fmt.Sprint("putter ", i), func(ctx context.Context) error {
				r.is(q.Put(ctx, 10+i), "the Put that waited", tristrand.ErrShutdown)
				return nil
			}))
		}
		r.untilPutting(ctx, q, 3)
		r.must(q.Shutdown(ctx, how), "Shutdown")
		r.joinAll(ctx, ps...)
		if how == tristrand.Drain {
			r.gets(ctx, q, 0)
		}
		r.refused(ctx, q)
	}
}

func shutdownRemaining(ctx context.Context, r *run, mk QueueMaker) {
	q := mk(ctx, r, 0)
	var ps []*party
	for i := range 3 {
		ps = append(ps, r.start(ctx, fmt.Sprint("getter ", i), func(ctx context.Context) error {
			_, err := q.Get(ctx)
			return err
		}))
	}
	r.must(q.Put(ctx, 1), "Put")
	r.must(q.Put(ctx, 2), "Put")
	r.must(q.Shutdown(ctx, tristrand.Drain), "Shutdown")
	refused := 0
	for _, p := range ps {
		if err := p.join(ctx); err != nil {
			r.is(err, "Get", tristrand.ErrShutdown)
			refused++
		}
	}
	if refused != 1 {
		r.Errorf("%d of three getters were refused, want 1", refused)
	}
	r.refused(ctx, q)
}

// shutdownMidstream shuts a queue down while strands are busy with it.
func shutdownMidstream(ctx context.Context, r *run, mk QueueMaker) {
	const writers, readers = 4, 6
	for _, how := range bothWays {
		q := mk(ctx, r, 2)
		put, got := make([][]int, writers), make([][]int, readers)
		var ps []*party
		for k := range writers {
			ps = append(ps, r.start(ctx, fmt.Sprint("writer ", k), func(ctx context.Context) error {
				for i := 0; ; i++ {
					v := i*writers + k
					if err := q.Put(ctx, v); err != nil {
						return ignore(err, tristrand.ErrShutdown)
					}
					put[k] = append(put[k], v)
				}
			}))
		}
		for k := range readers {
			ps = append(ps, r.start(ctx, fmt.Sprint("reader ", k), func(ctx context.Context) error {
				for {
					v, err := q.Get(ctx)
					if err != nil {
						return ignore(err, tristrand.ErrShutdown)
					}
					got[k] = append(got[k], v)
				}
			}))
		}
		for range 20 {
			r.must(strand.Yield(ctx), "Yield")
		}
		r.must(q.Shutdown(ctx, how), "Shutdown")
		r.joinAll(ctx, ps...)
		r.refused(ctx, q)
		in := slices.Sorted(slices.Values(slices.Concat(put...)))
		out := slices.Sorted(slices.Values(slices.Concat(got...)))
		if how == tristrand.Drain && !slices.Equal(in, out) {
			r.Errorf("%d items were put and %d got", len(in), len(out))
		}
		if how == tristrand.Discard && (len(out) > len(in) || len(in)-len(out) > 2) {
			r.Errorf("%d items were put and %d got, of a queue that holds 2", len(in), len(out))
		}
	}
}

func ignore(err, target error) error {
	if errors.Is(err, target) {
		return nil
	}
	return err
}

func joinTooMany(ctx context.Context, r *run, mk func(int) tristrand.JoinableQueue[int]) {
	q := mk(0)
	r.is(q.TaskDone(ctx), "TaskDone of a new queue", tristrand.ErrOverRelease)
	r.fill(ctx, q, 2)
	r.must(q.TaskDone(ctx), "TaskDone")
	r.must(q.TaskDone(ctx), "TaskDone")
	r.is(q.TaskDone(ctx), "TaskDone once too often", tristrand.ErrOverRelease)
	if st := r.queueState(ctx, q); st.Unfinished != 0 || st.Len != 2 {
		r.Errorf("the state is %+v, want 2 items and nothing unfinished", st)
	}
}

func joinWaits(ctx context.Context, r *run, mk func(int) tristrand.JoinableQueue[int]) {
	const workers, items = 3, 10
	q := mk(2)
	done := 0
	mu := make(chan struct{}, 1)
	var ps []*party
	for k := range workers {
		ps = append(ps, r.start(ctx, fmt.Sprint("worker ", k), func(ctx context.Context) error {
			for {
				if _, err := q.Get(ctx); err != nil {
					return ignore(err, tristrand.ErrShutdown)
				}
				if err := strand.Yield(ctx); err != nil {
					return err
				}
				mu <- struct{}{}
				done++
				<-mu
				if err := q.TaskDone(ctx); err != nil {
					return err
				}
			}
		}))
	}
	for round := range 2 {
		for i := range items {
			r.must(q.Put(ctx, i), "Put")
		}
		r.must(q.Join(ctx), "Join")
		if mu <- struct{}{}; done != (round+1)*items {
			r.Errorf("Join returned after %d of %d items", done, (round+1)*items)
		}
		<-mu
		r.must(q.Join(ctx), "Join again")
	}
	r.must(q.Shutdown(ctx, tristrand.Drain), "Shutdown")
	r.joinAll(ctx, ps...)
}

func joinIdle(ctx context.Context, r *run, mk func(int) tristrand.JoinableQueue[int]) {
	q := mk(0)
	for range 2 {
		r.must(q.Join(ctx), "Join of an idle queue")
		r.fill(ctx, q, 1)
		r.must(q.TaskDone(ctx), "TaskDone")
	}
	r.is(q.Join(r.ended(ctx)), "Join with a ctx that has ended", context.Canceled, errGaveUp)
}

func joinTimeout(ctx context.Context, r *run, mk func(int) tristrand.JoinableQueue[int]) {
	q := mk(0)
	r.fill(ctx, q, 1)
	began := r.now(ctx)
	short, cancel := strand.WithTimeout(ctx, shortly)
	defer cancel()
	r.is(q.Join(short), "Join of a queue with work", context.DeadlineExceeded)
	r.took(ctx, began, shortly, "the wait")
	r.must(q.TaskDone(ctx), "TaskDone")
	r.must(q.Join(ctx), "Join")
}

// joiners starts n strands that Join and returns when they wait, as far as that
// can be seen.
func (r *run) joiners(ctx context.Context, q tristrand.JoinableQueue[int], n int) (ps []*party) {
	r.Helper()
	for i := range n {
		ps = append(ps, r.start(ctx, fmt.Sprint("joiner ", i), q.Join))
	}
	r.settle(ctx)
	for _, p := range ps {
		if p.ended() {
			r.Errorf("Join returned with work unfinished: %v", p.join(ctx))
		}
	}
	return ps
}

func joinDiscard(ctx context.Context, r *run, mk func(int) tristrand.JoinableQueue[int]) {
	q := mk(0)
	r.fill(ctx, q, 3)
	r.must(errors.Join(q.Shutdown(ctx, tristrand.Discard), q.Join(ctx)), "Join after Discard")
	r.is(q.TaskDone(ctx), "TaskDone of what was dropped", tristrand.ErrOverRelease)

	q = mk(0) // one item is in hand when the rest is dropped
	r.fill(ctx, q, 3)
	_, err := q.Get(ctx)
	r.must(err, "Get")
	ps := r.joiners(ctx, q, 2)
	r.must(q.Shutdown(ctx, tristrand.Discard), "Shutdown")
	r.settle(ctx)
	if st := r.queueState(ctx, q); st.Unfinished != 1 || ps[0].ended() {
		r.Errorf("with an item in hand the state is %+v", st)
	}
	r.must(q.TaskDone(ctx), "TaskDone of what was in hand")
	r.joinAll(ctx, ps...)
	r.is(q.TaskDone(ctx), "TaskDone once too often", tristrand.ErrOverRelease)
}

func joinDrain(ctx context.Context, r *run, mk func(int) tristrand.JoinableQueue[int]) {
	q := mk(0)
	r.fill(ctx, q, 2)
	ps := r.joiners(ctx, q, 2)
	r.must(q.Shutdown(ctx, tristrand.Drain), "Shutdown")
	r.settle(ctx)
	for range 2 {
		if ps[0].ended() {
			r.Errorf("Join returned with work unfinished")
		}
		_, err := q.Get(ctx)
		r.must(errors.Join(err, q.TaskDone(ctx)), "Get and TaskDone")
	}
	r.joinAll(ctx, ps...)
	r.must(q.Join(ctx), "Join")
}
