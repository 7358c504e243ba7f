package coro

import (
	"time"

	"github.com/tristrand/tristrand/strand"
)

// sleep waits until there is something to do.
func (h *Hub) sleep() {
	h.mu.Lock()
	if h.posted.Load() {
		h.mu.Unlock()
		return
	}
	if h.net != nil && h.net.sleeps() {
		h.polling = true
		h.mu.Unlock()
		h.net.sleep(h)
		h.mu.Lock()
		h.polling = false
		h.mu.Unlock()
		h.monitor.awake(h)
		return
	}
	w := h.own.NewWait()
	h.asleep = &w
	h.mu.Unlock()
	stop := h.alarm(w)
	err := w.Park(h.idle, resting{h})
	if err != nil {
		panic("coro: bug: the wait of " + h.String() + " ended with " + err.Error())
	}
	stop()
	h.monitor.awake(h)
}

// next returns how long the hub may rest: until its next timer or, with check,
// until a look whether everything waits for ever. ok is false if neither is due.
func (h *Hub) next() (d time.Duration, check, ok bool) {
	switch {
	case len(h.timers.heap) > 0:
		return max(0, h.timers.heap[0].at-h.timers.in(0)), false, true
	case h.hopeless():
		if h.hope == 0 {
			if h.hope = h.DeadlockAfter; h.hope == 0 {
				h.hope = hopeAfter
			}
		}
		return h.hope, true, true
	default:
		return 0, false, false
	}
}

// alarm wakes the hub for its next timer, or for a look whether everything waits
// for ever.
func (h *Hub) alarm(w strand.Wait) (stop func()) {
	d, check, ok := h.next()
	if !ok {
		return func() {}
	}
	cancel := h.own.After(d, func() {
		if check {
			h.post(entry{do: h.despair})
			return
		}
		h.mu.Lock()
		mine := h.asleep != nil && *h.asleep == w
		if mine {
			h.asleep = nil
		}
		h.mu.Unlock()
		if mine {
			w.Grant()
		}
	})
	return func() { cancel() }
}

// resting is what a hub's own strand waits for when it has nothing to do.
type resting struct{ h *Hub }

func (r resting) String() string { return "something to do for " + r.h.String() }

func (resting) Releasers(buf []strand.Releaser) ([]strand.Releaser, bool) { return buf, false }

// After calls f on the hub's turn when d has passed.
func (h *Hub) After(d time.Duration, f func()) (stop func() bool) {
	if h.outer != nil { // it has a clock of its own
		return h.own.After(d, func() { h.post(entry{do: f}) })
	}
	t := &timer{at: h.timers.in(d), f: f, index: -1}
	if h.here() {
		h.timers.add(t)
		return func() bool { return h.cancelTimer(t) }
	}
	h.post(entry{do: func() { h.timers.add(t) }})
	return func() bool { return h.cancelTimer(t) }
}

// cancelTimer takes t out. From outside it only keeps it from being called.
func (h *Hub) cancelTimer(t *timer) bool {
	if !t.done.CompareAndSwap(false, true) {
		return false
	}
	if h.here() {
		h.timers.remove(t)
	} else {
		h.post(entry{do: func() { h.timers.remove(t) }})
	}
	return true
}
