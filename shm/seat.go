package shm

import (
	"context"
	"time"
	"weak"

	"github.com/tristrand/tristrand/strand"
)

// Seats that are never a strand's: in the word of a lock they mean something else.
const (
	seatNobody = iota
	seatDead   // its holder died
	firstSeat
)

// sit takes a free seat for this process.
func (a *arena) sit(id strand.ID, name string) (uint32, bool) {
	for i := uint32(firstSeat); i < maxSeats; i++ {
		sp := &a.mem.spots[i]
		if sp.owner.Load() != 0 || !sp.owner.CompareAndSwap(0, a.self+1) {
			continue
		}
		a.mem.head.taken.Add(1)
		f := &a.mem.faces[i]
		setName(f.name[:], name)
		f.strand.Store(uint64(id))
		for {
			w := a.mem.head.high.Load()
			if a.mem.head.high.CompareAndSwap(w, (w>>32+1)<<32|uint64(max(uint32(w), i+1))) {
				return i, true
			}
		}
	}
	return 0, false
}

// high returns the number below which the seats are that are taken: those who look
// for waiters look at no more.
func (a *arena) high() uint32 { return min(uint32(a.mem.head.high.Load()), maxSeats) }

// lower makes high as small as it can be.
func (a *arena) lower() {
	for {
		w := a.mem.head.high.Load()
		high := min(uint32(w), maxSeats)
		for high > firstSeat && a.mem.spots[high-1].owner.Load() == 0 {
			high--
		}
		// Once more after each step: who has just risen below may have seen the
		// high before it.
		if high == uint32(w) {
			return
		}
		a.mem.head.high.CompareAndSwap(w, w>>32<<32|uint64(high))
	}
}

// rise gives a seat of this process back. Nothing may name it any more.
func (a *arena) rise(i uint32) {
	a.seats[i].strand.Store(nil)
	a.seats[i].parked.Store(nil)
	sp := &a.mem.spots[i]
	sp.state.Store(sp.state.Load() &^ (phaseMask | nudged))
	sp.what.Store(0)
	a.mem.faces[i].strand.Store(0)
	sp.owner.Store(0)
	a.mem.head.taken.Add(-1)
	if h := a.high(); h > firstSeat && a.mem.spots[h-1].owner.Load() == 0 {
		a.lower()
	}
}

// seatOf returns the strand's seat, 0 if it has none yet. It is the fast path.
func (a *arena) seatOf(s *strand.Strand) uint32 { return uint32(s.Seat(a.id)) }

type seatKey struct{ arena uint64 }

// A strand keeps its seat until it ends. One from here on it keeps only while it
// holds or waits, so that strands that do neither cannot take all of them.
const keptSeats = maxSeats / 2

// seated is what a strand remembers of an arena.
type seated struct {
	i     uint32 // its seat, 0 if it has none at present
	known bool   // its end will be told
}

// seat returns the seat by which s holds: its own, or that of all guests. While
// all are taken it waits.
func (a *arena) seat(ctx context.Context, s *strand.Strand) (uint32, error) {
	if s.ID() == 0 {
		return a.guest, nil
	}
	if i := a.seatOf(s); i != 0 {
		return i, nil
	}
	at := s.Local(seatKey{a.id}, func() any { return new(seated) }).(*seated)
	if at.i == 0 {
		i, err := a.wantSeat(ctx, s.ID(), s.Name())
		if err != nil {
			return 0, err
		}
		at.i = i
		a.seats[i].strand.Store(s)
	}
	if !at.known {
		at.known = true
		self := weak.Make(a)
		s.AtEnd(func() {
			if a := self.Value(); a != nil && at.i != 0 {
				a.strandEnded(s, at.i)
			}
		})
	}
	s.SetSeat(a.id, uint64(at.i))
	return at.i, nil
}

// spare gives the seat of s back if seats are short and s holds nothing.
func (a *arena) spare(s *strand.Strand, i uint32) {
	if i < keptSeats || s.ID() == 0 || s.Holding() > 0 {
		return
	}
	at := s.Local(seatKey{a.id}, func() any { return new(seated) }).(*seated)
	if at.i == i {
		at.i = 0
		s.SetSeat(a.id, 0)
		a.rise(i)
	}
}

// wantSeat takes a seat, as soon as one is free. While none seems to be, thousands
// may wait here: only now and then does one of them look through all the seats.
func (a *arena) wantSeat(ctx context.Context, id strand.ID, name string) (uint32, error) {
	for n := 0; ; n++ {
		if n%64 == 0 || a.mem.head.taken.Load() < maxSeats-firstSeat {
			if i, ok := a.sit(id, name); ok {
				return i, nil
			}
		}
		a.watch()
		if err := strand.Sleep(ctx, min(time.Millisecond<<min(n, 6), maxNap)); err != nil {
			return 0, err
		}
	}
}

const maxNap = 20 * time.Millisecond

// strandEnded breaks what s, which ends, still holds, and frees its seat.
func (a *arena) strandEnded(s *strand.Strand, i uint32) {
	if s.Holding() > 0 {
		for m := range a.mutexes() {
			if w := m.cell.word.Load(); seatIn(w) == i && w&transit == 0 {
				m.breakLock(w)
				s.Held(-1)
			}
		}
	}
	a.rise(i)
}

// name returns what the one who has a seat is called.
func (a *arena) seatName(i uint32) string {
	if i >= maxSeats {
		return ""
	}
	if s := a.seats[i].strand.Load(); s != nil {
		return s.Name()
	}
	return getName(a.mem.faces[i].name[:])
}

// refOf returns who has a seat, and in which process: 0 strands are guests.
func (a *arena) refOf(i uint32) (ref strand.Ref, pid int) {
	sp := &a.mem.spots[i&(maxSeats-1)]
	owner := sp.owner.Load()
	if owner == 0 || owner > maxProcs {
		return strand.Ref{}, 0
	}
	pid = procPID(a.mem.procs[owner-1].word.Load())
	id := strand.ID(a.mem.faces[i&(maxSeats-1)].strand.Load())
	if a.seats[i&(maxSeats-1)].strand.Load() != nil {
		return strand.Ref{Strand: id}, pid
	}
	return strand.Ref{Process: strand.ID(pid), Strand: id}, pid
}
