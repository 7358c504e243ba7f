package thread

import (
	"container/heap"

	"github.com/tristrand/tristrand"
)

// A backlog is the queue of a pool: by priority, and first in first out among
// equals. Jobs of priority 0, the usual ones, are in a ring and cost no more than
// that.
type backlog struct {
	ring    []tristrand.Job
	head, n int
	others  ranking
	seq     uint64
}

func (b *backlog) len() int { return b.n + len(b.others) }

func (b *backlog) push(j tristrand.Job) {
	if p := j.Limits().Priority; p != 0 {
		b.seq++
		heap.Push(&b.others, ranked{j, p, b.seq})
		return
	}
	if b.n == len(b.ring) {
		ring := make([]tristrand.Job, max(16, 2*b.n))
		k := copy(ring, b.ring[b.head:])
		copy(ring[k:], b.ring[:b.head])
		b.ring, b.head = ring, 0
	}
	i := b.head + b.n
	if i >= len(b.ring) {
		i -= len(b.ring)
	}
	b.ring[i] = j
	b.n++
}

// pop takes the next job; there must be one.
func (b *backlog) pop() tristrand.Job {
	if len(b.others) > 0 && (b.n == 0 || b.others[0].priority > 0) {
		return heap.Pop(&b.others).(ranked).job //nolint:forcetypeassert // only these are in
	}
	j := b.ring[b.head]
	b.ring[b.head] = nil
	b.n--
	if b.head++; b.head == len(b.ring) {
		b.head = 0
	}
	return j
}

type ranked struct {
	job      tristrand.Job
	priority int
	seq      uint64
}

type ranking []ranked

func (r ranking) Len() int      { return len(r) }
func (r ranking) Swap(i, j int) { r[i], r[j] = r[j], r[i] }
func (r ranking) Less(i, j int) bool {
	if r[i].priority != r[j].priority {
		return r[i].priority > r[j].priority
	}
	return r[i].seq < r[j].seq
}
func (r *ranking) Push(x any) { *r = append(*r, x.(ranked)) } //nolint:forcetypeassert // only these are in
func (r *ranking) Pop() any {
	last := len(*r) - 1
	x := (*r)[last]
	(*r)[last] = ranked{}
	*r = (*r)[:last]
	return x
}
