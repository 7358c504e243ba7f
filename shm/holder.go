package shm

import (
	"fmt"
	"os"
	"time"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/strand"
)

// breakLock leaves the lock, which is held by the word w, to be told to its next
// acquirers: its holder has ended.
func (m mutex) breakLock(w uint64) {
	c, i := m.cell, seatIn(w)
	ref, pid := m.a.refOf(i)
	setName(c.deadName[:], m.a.seatName(i))
	c.deadPID.Store(uint32(pid))
	c.deadStrand.Store(uint64(ref.Strand))
	for {
		w := c.word.Load()
		if seatIn(w) != i || w&transit != 0 {
			return
		}
		if c.word.CompareAndSwap(w, w&^(1<<placeShift-1)|seatDead<<seatShift) {
			break
		}
	}
	c.guest.Store(0)
	m.tellDied()
}

// tellDied ends the waits for a lock whose holder has died. Those who came to
// recover it compete.
func (m mutex) tellDied() {
	m.a.shadow.release(m.unit)
	for i, v := range m.a.waiting(m.unit, 0) {
		as := died
		if m.a.mem.spots[i].what.Load()&recovers != 0 {
			as = retry
		}
		m.a.settle(i, numberOf(v), as)
	}
}

// recoverFrom puts the lock right if process n, which is dead, held it or was
// handing it over.
func (m mutex) recoverFrom(n uint32) {
	for {
		w := m.cell.word.Load()
		i := seatIn(w)
		switch {
		case i < firstSeat || i >= maxSeats || m.a.mem.spots[i].owner.Load() != n+1:
			return
		case w&transit == 0:
			m.breakLock(w)
			return
		case m.cell.word.CompareAndSwap(w, m.mine()):
			m.pass(false)
			return
		}
	}
}

// kick sees to it that somebody goes on who could, whatever a process that has
// died has not done.
func (m mutex) kick() {
	for {
		w := m.cell.word.Load()
		i := seatIn(w)
		switch {
		case free(w):
			if w&flags == 0 && m.a.count(m.unit, 0) == 0 {
				return
			}
		case i == seatDead:
			m.tellDied()
			return
		case w&transit == 0:
			if w&contended != 0 || m.a.count(m.unit, 0) == 0 || m.cell.word.CompareAndSwap(w, w|contended) {
				return
			}
			continue
		default:
			if !m.orphan(w) {
				return
			}
		}
		if m.cell.word.CompareAndSwap(w, m.mine()) {
			m.pass(false)
			return
		}
	}
}

// orphan completes the handing over of a lock, and reports whether nobody will:
// neither the one that it is promised to, nor the one who was passing it on.
func (m mutex) orphan(w uint64) bool {
	sp := &m.a.mem.spots[seatIn(w)&(maxSeats-1)]
	number := uint32(w >> placeShift)
	if number == 0 { // a process is passing it on
		return sp.owner.Load() == 0
	}
	if m.a.settle(seatIn(w), number, passed) {
		return false
	}
	v := sp.state.Load()
	return numberOf(v) != number || phaseOf(v) != passed
}

// dead says who died with the lock.
func (m mutex) dead() string {
	c := m.cell
	return fmt.Sprintf("%q (pid %d)", getName(c.deadName[:]), c.deadPID.Load())
}

func (m mutex) errDied(on strand.Resource) error {
	at := strand.Place(placeIn(m.cell.word.Load()))
	if at != "" {
		at = " at " + at
	}
	return fmt.Errorf("%w: %v was taken%s by %s; Recover takes it", tristrand.ErrOwnerDied, on, at, m.dead())
}

func (m mutex) releasers(buf []strand.Releaser) ([]strand.Releaser, bool) {
	w := m.cell.word.Load()
	i := seatIn(w)
	if i < firstSeat || w&transit != 0 {
		return buf, false
	}
	ref, _ := m.a.refOf(i)
	if ref.Strand == 0 || m.cell.word.Load() != w {
		return buf, false
	}
	return append(buf, strand.Releaser{Ref: ref, Where: placeIn(w)}), true
}

// state describes the lock.
func (m mutex) state() tristrand.LockState {
	f, n := m.a.first(m.unit, 0)
	st := tristrand.LockState{Waiting: n}
	w := m.cell.word.Load()
	i := seatIn(w)
	if i == seatNobody || w&transit != 0 {
		return st
	}
	st.Depth = int(m.cell.depth.Load()) + 1
	h := &tristrand.Holder{At: strand.Place(placeIn(w))}
	if i == seatDead {
		st.OwnerDied = true
		h.PID, h.Name = int(m.cell.deadPID.Load()), getName(m.cell.deadName[:])
		if h.Ref.Strand = strand.ID(m.cell.deadStrand.Load()); h.PID != os.Getpid() {
			h.Ref.Process = strand.ID(h.PID)
		}
	} else {
		m.a.watch() // so that a later look shows a holder that has died
		h.Ref, h.PID = m.a.refOf(i)
		h.Name = m.a.seatName(i)
	}
	if host, err := os.Hostname(); err == nil {
		h.Host = host
	}
	if n > 0 {
		h.Since = time.Unix(0, f.since)
	}
	st.Holder = h
	return st
}
