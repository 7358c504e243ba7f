package host

import (
	"errors"
	"slices"
	"time"
)

// a laterWait is a wait for a lock that no goroutine waits in: whoever grants it
// answers the call.
type laterWait struct {
	answer func(v any, err error)
	timed  bool // a deadline ends it, its own or the caller's

	// Guarded by locks.mu.
	queued, over bool
	cause        error // why it was given up before it was queued
	timer        *time.Timer
}

// later has the call answered when the lock is its owner's, or the wait is over. It
// reports whether it has: otherwise the call has to wait.
func (m *Mutex) later(c *Call, p patience, recovers bool) bool {
	n := &lockWaiter{o: c.Owner, recovers: recovers, place: c.Place, later: &laterWait{timed: !p.forever || c.Timed}}
	w := n.later
	w.answer = c.Later(func(cause error) { m.giveUp(n, cause) })
	if w.answer == nil {
		return false
	}
	m.locks.mu.Lock()
	ok, err := m.take(c, recovers, 1)
	if !ok && err == nil {
		err = w.cause
	}
	if !ok && err == nil && !w.timed {
		if dead := c.Owner.cycle(m, false); dead != nil {
			err = runtimeError("%v", dead).as(dead)
		}
	}
	if ok || err != nil {
		w.over = true
		m.locks.mu.Unlock()
		w.answer(ok, err)
		return true
	}
	w.queued = true
	m.queue = append(m.queue, n)
	c.Owner.waiting, c.Owner.timed = m, w.timed
	if !p.forever {
		w.timer = time.AfterFunc(p.d, func() { m.giveUp(n, errTimeout) })
	}
	m.locks.mu.Unlock()
	return true
}

// errTimeout says that the patience of a call is over, which is no error.
var errTimeout = errors.New("the time of the call is over")

// arrive makes n, whom the lock has been given to, its holder. The caller holds the
// mutex.
func (m *Mutex) arrive(n *lockWaiter) {
	m.depth = 1
	n.o.held = append(n.o.held, m)
	n.later.end()
}

// end notes that the wait is over. The caller holds the mutex.
func (w *laterWait) end() {
	w.over = true
	if w.timer != nil {
		w.timer.Stop()
	}
}

// answerDied tells n, which has been taken off the queue, that the holder is gone,
// or that it has the lock. The caller holds the mutex, which is let go meanwhile.
func (m *Mutex) answerDied(n *lockWaiter) {
	if n.died {
		n.later.end()
	} else {
		m.arrive(n)
	}
	m.locks.mu.Unlock()
	if n.died {
		n.later.answer(false, m.errDied())
	} else {
		n.later.answer(true, nil)
	}
	m.locks.mu.Lock()
}

// giveUp ends n's wait, unless it is over.
func (m *Mutex) giveUp(n *lockWaiter, cause error) {
	m.locks.mu.Lock()
	w := n.later
	if w.over || !w.queued {
		w.cause = cause
		m.locks.mu.Unlock()
		return
	}
	m.leave(n)
	w.end()
	err := cause
	if errors.Is(cause, errTimeout) {
		err = nil
	} else if w.timed {
		if dead := n.o.cycle(m, true); dead != nil {
			err = errors.Join(err, dead)
		}
	}
	n.o.waiting = nil
	m.locks.mu.Unlock()
	w.answer(false, err)
}

// waiting returns the names of those whose calls are answered later.
func (m *Mutex) waiting() []string {
	m.locks.mu.Lock()
	defer m.locks.mu.Unlock()
	var names []string
	for _, n := range m.queue {
		if n.later != nil {
			names = append(names, n.o.Name)
		}
	}
	return names
}

// AnswersLater reports whether a method of that name may be answered later.
func AnswersLater(method string) bool { return slices.Contains(laterMethods, method) }

var laterMethods = []string{"acquire", "recover"}
