package host

import (
	"slices"
	"sync"

	"github.com/tristrand/tristrand/strand"
)

// An Owner is who locks and permits belong to: a session of a Python program,
// or a strand of a Go program. It makes one call at a time.
type Owner struct {
	Name, Host string
	PID        int
	Ref        strand.Ref // of a Go program's strand
	Go         bool       // a Go program's: nobody else releases its locks
	Nameless   bool       // owns nothing re-entrantly and is in no deadlock

	// What follows is guarded by the mutex of the Locks.
	held    []*Mutex
	waiting *Mutex
	timed   bool
	ended   bool
	calls   int // that wait

	permits map[*Semaphore]int // its own
}

// Locks is what the locks of one server have in common: who waits for whom is
// seen at one moment, under one mutex, so that a deadlock is never reported
// falsely.
type Locks struct{ mu sync.Mutex }

// Busy reports whether the owner holds anything.
func (l *Locks) Busy(o *Owner) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(o.held) > 0 || len(o.permits) > 0 || o.calls > 0
}

// Enter notes that a call of o waits, Leave that it does so no more: Busy counts
// them.
func (l *Locks) Enter(o *Owner) { l.note(o, 1) }

// Leave is Enter's end.
func (l *Locks) Leave(o *Owner) { l.note(o, -1) }

func (l *Locks) note(o *Owner, n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	o.calls += n
}

// End gives on what o holds: it is gone. None of its calls may be running.
func (l *Locks) End(o *Owner) {
	l.mu.Lock()
	o.ended = true
	held, permits := o.held, o.permits
	o.held, o.permits = nil, nil
	l.mu.Unlock()
	for _, m := range held {
		m.ownerEnded(o)
	}
	for s, n := range permits {
		s.giveBack(n)
	}
}

// drop takes m off what o holds. The caller holds the mutex of the Locks.
func (o *Owner) drop(m *Mutex) {
	if i := slices.Index(o.held, m); i >= 0 {
		o.held = slices.Delete(o.held, i, i+1)
	}
}

// cycle returns the deadlock that o would be in if it waited for m, nil if there
// is none. With deadlines false a wait that a deadline ends is in none. The
// caller holds the mutex of the Locks.
func (o *Owner) cycle(m *Mutex, deadlines bool) *strand.DeadlockError {
	if o.Nameless {
		return nil
	}
	err := &strand.DeadlockError{}
	waiter, on := o, m
	for range mostLinks {
		h := on.owner
		if h == nil || h.Nameless || h.ended || !on.reentrant && !h.Go {
			return nil // it is free, or anyone could release it
		}
		err.Cycle = append(err.Cycle, strand.Link{Waiter: waiter.Name, On: on.String(), Holder: h.Name, TakenAt: on.place})
		if h == o {
			return err
		}
		if h.waiting == nil || h.timed && !deadlines {
			return nil
		}
		waiter, on = h, h.waiting
	}
	return nil // a cycle without o
}

// mostLinks bounds the walk: a longer chain of waits is not looked at.
const mostLinks = 10_000
