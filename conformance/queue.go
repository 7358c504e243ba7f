package conformance

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/strand"
)

// A QueueMaker makes a new queue of ints that holds up to bound of them; 0 is
// no bound. It panics for a bound that makes no sense.
//
// A queue that is a tristrand.JoinableQueue is checked as one, and so is one
// with a method All(ctx) iter.Seq2[int, error].
type QueueMaker func(ctx context.Context, t testing.TB, bound int) tristrand.Queue[int]

// Queue checks a queue that gives the first in first.
func Queue(t *testing.T, mk QueueMaker, o Options) {
	t.Helper()
	runRules(t, itemRules(fifo), mk, o)
}

// LIFO checks a queue that gives the last in first.
func LIFO(t *testing.T, mk QueueMaker, o Options) {
	t.Helper()
	runRules(t, itemRules(lifo), mk, o)
}

// Priority checks a queue that gives the least first.
func Priority(t *testing.T, mk QueueMaker, o Options) {
	t.Helper()
	runRules(t, itemRules(priority), mk, o)
}

// An order is what becomes of items that were put one after another.
type order func(put []int) (got []int)

func fifo(put []int) []int { return put }

func lifo(put []int) []int {
	got := slices.Clone(put)
	slices.Reverse(got)
	return got
}

func priority(put []int) []int { return slices.Sorted(slices.Values(put)) }

// ordered makes a rule for queues of one order.
func ordered(o order, check func(context.Context, *run, QueueMaker, order)) func(context.Context, *run, QueueMaker) {
	return func(ctx context.Context, r *run, mk QueueMaker) { check(ctx, r, mk, o) }
}

func itemRules(o order) []rule[QueueMaker] {
	rules := []rule[QueueMaker]{
		{"a bound below zero is refused", "Cap 0: no bound; below that nothing makes sense", anyWorld, queueBelowZero},
		{"it gives items in its order", "hands items from strand to strand: the first in first, or the last, or the least", anyWorld, ordered(o, queueOrder)},
		{"full and empty are told apart without waiting", "ErrFull, ErrEmpty; TryX never waits", anyWorld, queueTry},
		{"without a bound it is never full", "Cap 0: no bound", anyWorld, ordered(o, queueUnbounded)},
		{"a Put waits for room", "Put waits for room and puts v in", anyWorld, queuePutWaits},
		{"a Get waits for an item", "Get waits for an item and takes it", anyWorld, queueGetWaits},
		{"TryPut and TryGet serve those who wait", "TryX is X that never waits", anyWorld, queueTryServes},
		{"those who wait are served in order", "first come first served", anyWorld, queueServed},
		{"a time-out ends a wait", "ctx says how long; the queue stays as it was", anyWorld, queueTimeout},
		{"a ctx that has ended changes nothing", "a ctx ended before the call is an error and changes nothing; TryX does not mind", anyWorld, queueEndedContext},
		{"a getter that gave up swallows no item", "a false Grant changes nothing, and the waker passes on", anyWorld, queueGetterGivesUp},
		{"a putter that gave up puts nothing and takes no room", "a false Grant changes nothing, and the waker passes on", anyWorld, queuePutterGivesUp},
		{"an item and a cancellation at once lose nothing", "a Grant that beats ctx's end counts", anyWorld, queueRace},
		{"producers and consumers lose and double nothing", "hands items from strand to strand", anyWorld, ordered(o, queueMany)},
		{"and nothing by tries and time-outs", "hands items from strand to strand", anyWorld, queueManyTries},
		{"All yields until the queue is shut down and empty", "concrete queues also have All", anyWorld, ordered(o, queueAll)},
		{"goroutines that are no strands put and get", "a nameless caller may use everything", openWorld, queueNameless},
		{"State counts what is in it and who waits", "QueueState", anyWorld, queueState},
	}
	return append(append(rules, shutdownRules(o)...), joinRules()...)
}

func (r *run) queueState(ctx context.Context, q tristrand.Queue[int]) tristrand.QueueState {
	r.Helper()
	st, err := q.State(ctx)
	r.must(err, "State")
	return st
}

// holds checks how many items are in the queue, and that nobody waits.
func (r *run) holds(ctx context.Context, q tristrand.Queue[int], n int) {
	r.Helper()
	if st := r.queueState(ctx, q); st.Len != n || st.Getting != 0 || st.Putting != 0 {
		r.Errorf("the queue's state is %+v, want %d items and nobody waiting", st, n)
	}
}

func (r *run) untilGetting(ctx context.Context, q tristrand.Queue[int], n int) {
	r.Helper()
	r.until(ctx, fmt.Sprintf("%d strands wait for an item", n), func() bool { return r.queueState(ctx, q).Getting == n })
}

func (r *run) untilPutting(ctx context.Context, q tristrand.Queue[int], n int) {
	r.Helper()
	r.until(ctx, fmt.Sprintf("%d strands wait for room", n), func() bool { return r.queueState(ctx, q).Putting == n })
}

// fill puts the numbers from 0 to n-1.
func (r *run) fill(ctx context.Context, q tristrand.Queue[int], n int) (put []int) {
	r.Helper()
	for i := range n {
		r.must(q.TryPut(ctx, i), "TryPut into a queue with room")
		put = append(put, i)
	}
	return put
}

// gets checks that the queue gives just these, in order.
func (r *run) gets(ctx context.Context, q tristrand.Queue[int], want ...int) {
	r.Helper()
	var got []int
	for range want {
		v, err := q.TryGet(ctx)
		r.must(err, "TryGet from a queue with items")
		got = append(got, v)
	}
	if !slices.Equal(got, want) {
		r.Errorf("got %v, want %v", got, want)
	}
	if v, err := q.TryGet(ctx); err == nil {
		r.Errorf("got %d more", v)
	}
}

// getter starts a strand that gets one item into *v.
func (r *run) getter(ctx context.Context, name string, q tristrand.Queue[int], v *int) *party {
	return r.start(ctx, name, func(ctx context.Context) (err error) {
		*v, err = q.Get(ctx)
		return err
	})
}

func (r *run) putter(ctx context.Context, name string, q tristrand.Queue[int], v int) *party {
	return r.start(ctx, name, func(ctx context.Context) error { return q.Put(ctx, v) })
}

func queueBelowZero(ctx context.Context, r *run, mk QueueMaker) {
	defer func() {
		if recover() == nil {
			r.Errorf("a queue with a bound of -1 was made")
		}
	}()
	mk(ctx, r, -1)
}

func queueOrder(ctx context.Context, r *run, mk QueueMaker, o order) {
	q := mk(ctx, r, 5)
	puts := []int{30, 10, 50, 20, 40}
	for _, v := range puts {
		r.must(q.Put(ctx, v), "Put")
	}
	var got []int
	for range puts {
		v, err := q.Get(ctx)
		r.must(err, "Get")
		got = append(got, v)
	}
	if want := o(puts); !slices.Equal(got, want) {
		r.Errorf("put %v and got %v, want %v", puts, got, want)
	}
	r.holds(ctx, q, 0)
}

func queueTry(ctx context.Context, r *run, mk QueueMaker) {
	q := mk(ctx, r, 2)
	for range 2 {
		_, err := q.TryGet(ctx)
		r.is(err, "TryGet from an empty queue", tristrand.ErrEmpty)
		r.fill(ctx, q, 2)
		err = q.TryPut(ctx, 2)
		r.is(err, "TryPut into a full queue", tristrand.ErrFull)
		if errors.Is(err, tristrand.ErrEmpty) {
			r.Errorf("full is also empty: %v", err)
		}
		r.holds(ctx, q, 2)
		for range 2 {
			_, err := q.TryGet(ctx)
			r.must(err, "TryGet")
		}
		r.holds(ctx, q, 0)
	}
}

func queueUnbounded(ctx context.Context, r *run, mk QueueMaker, o order) {
	q, n := mk(ctx, r, 0), 1000
	put := r.fill(ctx, q, n)
	if st := r.queueState(ctx, q); st.Len != n || st.Cap != 0 {
		r.Errorf("the state is %+v", st)
	}
	r.gets(ctx, q, o(put)...)
	put = r.fill(ctx, q, 3) // and again
	r.gets(ctx, q, o(put)...)
}

func queuePutWaits(ctx context.Context, r *run, mk QueueMaker) {
	q := mk(ctx, r, 2)
	r.fill(ctx, q, 2)
	p := r.putter(ctx, "putter", q, 2)
	r.untilPutting(ctx, q, 1)
	r.settle(ctx)
	if st := r.queueState(ctx, q); p.ended() || st.Len != 2 {
		r.Errorf("with a strand waiting for room the state is %+v", st)
	}
	_, err := q.Get(ctx)
	r.must(err, "Get")
	r.joinAll(ctx, p)
	r.holds(ctx, q, 2)
}

func queueGetWaits(ctx context.Context, r *run, mk QueueMaker) {
	for _, bound := range []int{0, 1} {
		q, v := mk(ctx, r, bound), 0
		p := r.getter(ctx, "getter", q, &v)
		r.untilGetting(ctx, q, 1)
		r.settle(ctx)
		if p.ended() {
			r.Errorf("Get from an empty queue returned %d", v)
		}
		r.must(q.Put(ctx, 7), "Put")
		r.joinAll(ctx, p)
		if v != 7 {
			r.Errorf("got %d, want 7", v)
		}
		r.holds(ctx, q, 0)
	}
}

func queueTryServes(ctx context.Context, r *run, mk QueueMaker) {
	q, v := mk(ctx, r, 1), 0
	p := r.getter(ctx, "getter", q, &v)
	r.untilGetting(ctx, q, 1)
	r.must(q.TryPut(ctx, 3), "TryPut")
	r.joinAll(ctx, p)
	if v != 3 {
		r.Errorf("got %d, want 3", v)
	}
	r.fill(ctx, q, 1)
	p = r.putter(ctx, "putter", q, 4)
	r.untilPutting(ctx, q, 1)
	_, err := q.TryGet(ctx)
	r.must(err, "TryGet")
	r.joinAll(ctx, p)
	r.gets(ctx, q, 4)
}

func queueServed(ctx context.Context, r *run, mk QueueMaker) {
	q := mk(ctx, r, 1)
	got := make([]int, 4)
	var ps []*party
	for i := range got {
		ps = append(ps, r.getter(ctx, fmt.Sprint("getter ", i), q, &got[i]))
		r.untilGetting(ctx, q, i+1)
	}
	for i := range got {
		r.must(q.Put(ctx, i), "Put")
		r.joinAll(ctx, ps[i])
	}
	if fmt.Sprint(got) != "[0 1 2 3]" {
		r.Errorf("the getters, in order, got %v", got)
	}
	r.fill(ctx, q, 1)
	ps = nil
	for i := range 4 {
		ps = append(ps, r.putter(ctx, fmt.Sprint("putter ", i), q, 10+i))
		r.untilPutting(ctx, q, i+1)
	}
	for i := range 4 {
		_, err := q.Get(ctx)
		r.must(err, "Get")
		r.joinAll(ctx, ps[i])
	}
	r.gets(ctx, q, 13)
}

func queueTimeout(ctx context.Context, r *run, mk QueueMaker) {
	q := mk(ctx, r, 1)
	r.must(q.Put(ctx, 1), "Put with room")
	began := r.now(ctx)
	short, cancel := strand.WithTimeout(ctx, shortly)
	defer cancel()
	r.is(q.Put(short, 2), "Put into a full queue", context.DeadlineExceeded)
	r.took(ctx, began, shortly, "the wait for room")
	r.holds(ctx, q, 1)
	r.gets(ctx, q, 1)
	began = r.now(ctx)
	short2, cancel2 := strand.WithTimeout(ctx, shortly)
	defer cancel2()
	_, err := q.Get(short2)
	r.is(err, "Get from an empty queue", context.DeadlineExceeded)
	r.took(ctx, began, shortly, "the wait for an item")
	r.holds(ctx, q, 0)
	r.fill(ctx, q, 1) // it works on
	r.gets(ctx, q, 0)
}

func queueEndedContext(ctx context.Context, r *run, mk QueueMaker) {
	q, over := mk(ctx, r, 1), r.ended(ctx)
	r.is(q.Put(over, 1), "Put with room", context.Canceled, errGaveUp)
	r.holds(ctx, q, 0)
	r.must(q.TryPut(over, 2), "TryPut")
	r.is(q.Put(over, 3), "Put into a full queue", context.Canceled, errGaveUp)
	_, err := q.Get(over)
	r.is(err, "Get of an item that is there", context.Canceled, errGaveUp)
	r.holds(over, q, 1)
	v, err := q.TryGet(over)
	r.must(err, "TryGet")
	if v != 2 {
		r.Errorf("got %d, want 2", v)
	}
	r.must(q.Shutdown(over, tristrand.Drain), "Shutdown")
	_, err = q.TryGet(over)
	r.is(err, "TryGet after Shutdown", tristrand.ErrShutdown)
}

// A ranger is a queue that can be ranged over.
type ranger interface {
	All(ctx context.Context) iter.Seq2[int, error]
}

func queueAll(ctx context.Context, r *run, mk QueueMaker, o order) {
	q := mk(ctx, r, 0)
	all, ok := q.(ranger)
	if !ok {
		return
	}
	put := r.fill(ctx, q, 5)
	r.must(q.Shutdown(ctx, tristrand.Drain), "Shutdown")
	var got []int
	for v, err := range all.All(ctx) {
		r.must(err, "All")
		got = append(got, v)
	}
	if !slices.Equal(got, o(put)) {
		r.Errorf("All yielded %v, want %v", got, o(put))
	}

	q = mk(ctx, r, 0)
	r.fill(ctx, q, 2)
	for _, err := range q.(ranger).All(ctx) { // stopping takes no more than was yielded
		r.must(err, "All")
		break
	}
	r.holds(ctx, q, 1)
	short, cancel := strand.WithTimeout(ctx, shortly)
	defer cancel()
	var errs []error
	for _, err := range q.(ranger).All(short) {
		errs = append(errs, err)
	}
	if r.world.virtual() && (len(errs) != 2 || errs[0] != nil) { // in real time the item may come too late
		r.Errorf("All with a time-out yielded the errors %v, want one after the item", errs)
	}
	r.is(errors.Join(errs...), "the last error", context.DeadlineExceeded)
}

func queueNameless(ctx context.Context, r *run, mk QueueMaker) {
	in, out := mk(ctx, r, 1), mk(ctx, r, 1)
	var done atomic.Int32
	for _, ctx2 := range []context.Context{ctx, context.Background()} {
		go func() {
			defer done.Add(1)
			v, err := in.Get(ctx2)
			if err = errors.Join(err, out.Put(ctx2, 2*v)); err != nil {
				r.Errorf("a nameless goroutine: %v", err)
			}
		}()
	}
	r.untilGetting(ctx, in, 2)
	sum := 0
	for i := range 2 {
		r.must(in.Put(ctx, i+1), "Put")
		v, err := out.Get(ctx)
		r.must(err, "Get")
		sum += v
	}
	if sum != 6 {
		r.Errorf("the sum is %d, want 6", sum)
	}
	r.until(ctx, "the goroutines are done", func() bool { return done.Load() == 2 })
}

func queueState(ctx context.Context, r *run, mk QueueMaker) {
	q := mk(ctx, r, 2)
	_, joinable := q.(tristrand.JoinableQueue[int])
	look := func(length, getting, putting int, down bool) {
		r.Helper()
		want := tristrand.QueueState{Len: length, Cap: 2, Getting: getting, Putting: putting, Shutdown: down}
		st := r.queueState(ctx, q)
		if joinable && st.Unfinished < st.Len {
			r.Errorf("the state is %+v: %d items and %d unfinished", st, st.Len, st.Unfinished)
		}
		if st.Unfinished = 0; st != want {
			r.Errorf("the state is %+v, want %+v", st, want)
		}
	}
	look(0, 0, 0, false)
	v := 0
	p := r.getter(ctx, "getter", q, &v)
	r.untilGetting(ctx, q, 1)
	look(0, 1, 0, false)
	r.must(q.Put(ctx, 1), "Put")
	r.joinAll(ctx, p)
	look(0, 0, 0, false)
	r.fill(ctx, q, 2)
	look(2, 0, 0, false)
	p = r.putter(ctx, "putter", q, 3)
	r.untilPutting(ctx, q, 1)
	look(2, 0, 1, false)
	r.must(q.Shutdown(ctx, tristrand.Drain), "Shutdown")
	r.is(p.join(ctx), "the Put that waited", tristrand.ErrShutdown)
	look(2, 0, 0, true)
}
