// Package backlog is the queue of an executor: by priority, and first in first out
// among equals.
package backlog

import "container/heap"

// A Queue holds what waits for a worker. What has priority 0, as is usual, is in a
// ring and costs no more than that. The zero value is empty.
type Queue[T any] struct {
	front   []T // given back, the first to come out last
	ring    []T
	head, n int
	others  ranking[T]
	seq     uint64
}

// Len returns how many it holds.
func (q *Queue[T]) Len() int { return q.n + len(q.others) + len(q.front) }

// Push adds v.
func (q *Queue[T]) Push(v T, priority int) {
	if priority != 0 {
		q.seq++
		heap.Push(&q.others, ranked[T]{v, priority, q.seq})
		return
	}
	if q.n == len(q.ring) {
		ring := make([]T, max(16, 2*q.n))
		k := copy(ring, q.ring[q.head:])
		copy(ring[k:], q.ring[:q.head])
		q.ring, q.head = ring, 0
	}
	i := q.head + q.n
	if i >= len(q.ring) {
		i -= len(q.ring)
	}
	q.ring[i] = v
	q.n++
}

// Return gives back what has been popped: it is the next to be popped.
func (q *Queue[T]) Return(v T) { q.front = append(q.front, v) }

// Pop takes the next; there must be one.
func (q *Queue[T]) Pop() T {
	var none T
	if last := len(q.front) - 1; last >= 0 {
		v := q.front[last]
		q.front[last] = none
		q.front = q.front[:last]
		return v
	}
	if len(q.others) > 0 && (q.n == 0 || q.others[0].priority > 0) {
		return heap.Pop(&q.others).(ranked[T]).v //nolint:forcetypeassert // only these are in
	}
	v := q.ring[q.head]
	q.ring[q.head] = none
	q.n--
	if q.head++; q.head == len(q.ring) {
		q.head = 0
	}
	return v
}

type ranked[T any] struct {
	v        T
	priority int
	seq      uint64
}

type ranking[T any] []ranked[T]

func (r ranking[T]) Len() int      { return len(r) }
func (r ranking[T]) Swap(i, j int) { r[i], r[j] = r[j], r[i] }
func (r ranking[T]) Less(i, j int) bool {
	if r[i].priority != r[j].priority {
		return r[i].priority > r[j].priority
	}
	return r[i].seq < r[j].seq
}
func (r *ranking[T]) Push(x any) { *r = append(*r, x.(ranked[T])) } //nolint:forcetypeassert // only these are in
func (r *ranking[T]) Pop() any {
	last := len(*r) - 1
	x := (*r)[last]
	(*r)[last] = ranked[T]{}
	*r = (*r)[:last]
	return x
}
