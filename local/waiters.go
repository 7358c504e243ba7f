package local

import (
	"time"

	"github.com/tristrand/tristrand/strand"
)

// A waiter is one strand in the queue of a primitive.
type waiter struct {
	w          strand.Wait
	next, prev *waiter
	queued     bool
	since      time.Time // of its first wait; locks only
	recover    bool      // takes a lock whose holder died
	got        outcome   // written before the grant
	cell       any       // a *T, for the item of a queue of T; nil in a new one
}

// newWaiter returns a waiter for w: the one that its strand had before, if it has
// been given back.
func newWaiter(w strand.Wait) *waiter {
	s := w.Strand()
	n, ok := s.Spare().(*waiter)
	if !ok {
		return &waiter{w: w}
	}
	s.SetSpare(nil)
	n.w = w
	return n
}

// free gives back a waiter whose Park has returned nil: whoever granted it has
// done with it. One whose wait has ended in another way may still be in the hands
// of somebody who is about to try.
func (n *waiter) free() {
	s := n.w.Strand()
	*n = waiter{cell: n.cell}
	s.SetSpare(n)
}

// cellOf returns where n keeps the item that it waits to put, or is given.
func cellOf[T any](n *waiter) *T {
	c, ok := n.cell.(*T)
	if !ok {
		c = new(T)
		n.cell = c
	}
	return c
}

// take empties the cell of n, whose Park has returned nil, and gives n back.
func take[T any](n *waiter) T {
	var none T
	c := cellOf[T](n)
	v := *c
	*c = none
	n.free()
	return v
}

// An outcome says what a grant means.
type outcome uint8

const (
	passed outcome = iota // what was waited for has happened, or is the waiter's
	retry                 // the lock is free: try to take it
	died                  // the lock's holder ended
	broken                // the barrier is
)

// waiters is a queue of waiters, first come first served.
type waiters struct {
	first, last *waiter
	n           int
}

func (q *waiters) pushBack(n *waiter) {
	n.queued, n.prev, n.next = true, q.last, nil
	if q.last == nil {
		q.first = n
	} else {
		q.last.next = n
	}
	q.last = n
	q.n++
}

func (q *waiters) pushFront(n *waiter) {
	n.queued, n.prev, n.next = true, nil, q.first
	if q.first == nil {
		q.last = n
	} else {
		q.first.prev = n
	}
	q.first = n
	q.n++
}

// remove takes n out, if it is in, and reports whether it was.
func (q *waiters) remove(n *waiter) bool {
	if !n.queued {
		return false
	}
	if n.prev == nil {
		q.first = n.next
	} else {
		n.prev.next = n.next
	}
	if n.next == nil {
		q.last = n.prev
	} else {
		n.next.prev = n.prev
	}
	n.queued, n.next, n.prev = false, nil, nil
	q.n--
	return true
}

// pop takes the first one out; nil if there is none.
func (q *waiters) pop() *waiter {
	n := q.first
	if n != nil {
		q.remove(n)
	}
	return n
}

// popAll empties the queue.
func (q *waiters) popAll() []*waiter {
	var all []*waiter
	for n := q.pop(); n != nil; n = q.pop() {
		all = append(all, n)
	}
	return all
}

// grant tells them all, and how it ended.
func grant(all []*waiter, got outcome) {
	for _, n := range all {
		n.got = got
		n.w.Grant()
	}
}
