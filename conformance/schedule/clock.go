package schedule

import (
	"container/heap"
	"time"
)

// A clock is virtual: it stands still until it is told to advance.
type clock struct {
	now  time.Duration
	due  alarms
	made int
}

type alarm struct {
	at    time.Duration
	made  int // first made, first rung
	f     func()
	index int // in the heap, -1 when it is out
}

// after arranges for f to be called by advance.
func (c *clock) after(d time.Duration, f func()) (stop func() bool) {
	a := &alarm{at: c.now + max(d, 0), made: c.made, f: f}
	c.made++
	heap.Push(&c.due, a)
	return func() bool {
		if a.index < 0 {
			return false
		}
		heap.Remove(&c.due, a.index)
		return true
	}
}

// advance goes to the next alarm and rings it; false if there is none.
func (c *clock) advance() bool {
	if len(c.due) == 0 {
		return false
	}
	a := heap.Pop(&c.due).(*alarm)
	c.now = a.at
	a.f()
	return true
}

// alarms is a heap, the earliest first.
type alarms []*alarm

func (h alarms) Len() int { return len(h) }
func (h alarms) Less(i, j int) bool {
	return h[i].at < h[j].at || h[i].at == h[j].at && h[i].made < h[j].made
}
func (h alarms) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

// Push is for package heap.
func (h *alarms) Push(x any) {
	a := x.(*alarm)
	a.index = len(*h)
	*h = append(*h, a)
}

// Pop is for package heap.
func (h *alarms) Pop() any {
	last := len(*h) - 1
	a := (*h)[last]
	a.index = -1
	(*h)[last] = nil
	*h = (*h)[:last]
	return a
}
