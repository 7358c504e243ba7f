package coro

import (
	"math"
	"sync/atomic"
	"time"

	"github.com/tristrand/tristrand/strand"
)

// A timer calls a function on the hub's turn.
type timer struct {
	at    time.Duration // after timers.epoch; there may be very many timers
	seq   uint64
	f     func()      // nil: w is granted
	w     strand.Wait // of a coroutine that sleeps
	index int32       // in the heap, -1 when it is out
	done  atomic.Bool
}

// timers is a heap, the earliest first and of equals the first made. It has four
// children to a node, which makes it shallower.
type timers struct {
	heap  []*timer
	seq   uint64
	epoch time.Time // when the hub began
}

// in returns the time that d from now is.
func (ts *timers) in(d time.Duration) time.Duration {
	at := time.Since(ts.epoch) + d
	if at < d { // it is for ever
		return math.MaxInt64
	}
	return at
}

const arity = 4

func (a *timer) before(b *timer) bool {
	return a.at < b.at || a.at == b.at && a.seq < b.seq
}

func (ts *timers) add(t *timer) {
	if t.done.Load() {
		return // cancelled before it came here
	}
	ts.seq++
	t.seq = ts.seq
	ts.heap = append(ts.heap, t)
	ts.up(len(ts.heap) - 1)
}

// set makes t, which is out, ring in d.
//
//go:noinline
func (ts *timers) set(t *timer, d time.Duration) {
	t.at = ts.in(d)
	t.done.Store(false)
	ts.add(t)
}

func (ts *timers) remove(t *timer) {
	i, last := int(t.index), len(ts.heap)-1
	if i < 0 {
		return
	}
	t.index = -1
	moved := ts.heap[last]
	ts.heap[last] = nil
	ts.heap = ts.heap[:last]
	if i == last {
		return
	}
	ts.heap[i] = moved
	moved.index = int32(i)
	ts.up(i)
	ts.down(int(moved.index))
}

// fire calls what is due. Timers that are made meanwhile wait for the next turn.
func (ts *timers) fire(now time.Time) {
	upTo, due := ts.seq, now.Sub(ts.epoch)
	for len(ts.heap) > 0 {
		t := ts.heap[0]
		if t.at > due || t.seq > upTo {
			return
		}
		ts.remove(t)
		switch {
		case !t.done.CompareAndSwap(false, true):
		case t.f != nil:
			t.f()
		default:
			t.w.Grant()
		}
	}
}

func (ts *timers) up(i int) {
	t := ts.heap[i]
	for i > 0 {
		p := (i - 1) / arity
		if !t.before(ts.heap[p]) {
			break
		}
		ts.heap[i] = ts.heap[p]
		ts.heap[i].index = int32(i)
		i = p
	}
	ts.heap[i] = t
	t.index = int32(i)
}

func (ts *timers) down(i int) {
	t := ts.heap[i]
	for {
		first := arity*i + 1
		if first >= len(ts.heap) {
			break
		}
		least := first
		for c := first + 1; c < min(first+arity, len(ts.heap)); c++ {
			if ts.heap[c].before(ts.heap[least]) {
				least = c
			}
		}
		if !ts.heap[least].before(t) {
			break
		}
		ts.heap[i] = ts.heap[least]
		ts.heap[i].index = int32(i)
		i = least
	}
	ts.heap[i] = t
	t.index = int32(i)
}

// A ring is a queue of entries that grows.
type ring struct {
	buf  []entry
	head int
	n    int
}

func (r *ring) push(e entry) {
	if r.n == len(r.buf) {
		buf := make([]entry, max(16, 2*r.n))
		k := copy(buf, r.buf[r.head:])
		copy(buf[k:], r.buf[:r.head])
		r.buf, r.head = buf, 0
	}
	r.buf[(r.head+r.n)&(len(r.buf)-1)] = e
	r.n++
}

func (r *ring) first() *entry { return &r.buf[r.head] }

// pop takes the first; there must be one.
func (r *ring) pop() entry {
	e := r.buf[r.head]
	r.buf[r.head] = entry{}
	r.head = (r.head + 1) & (len(r.buf) - 1)
	r.n--
	return e
}
