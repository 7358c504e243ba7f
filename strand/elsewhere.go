package strand

import (
	"context"
	"slices"
)

// What primitives need whose waiters and holders are known outside this process.

// Seat returns the number that the strand has in a table kept elsewhere, such as
// one in shared memory, and 0 if it was not the last that SetSeat was told of.
// Tables are told apart by numbers that are unique in this process. It must be
// called by the strand itself.
func (s *Strand) Seat(table uint64) uint64 {
	if s.more == nil || s.more.table != table {
		return 0
	}
	return s.more.seat
}

// SetSeat remembers the strand's number in a table. It must be called by the
// strand itself and does nothing for the nameless one.
func (s *Strand) SetSeat(table, seat uint64) {
	if s.id != 0 {
		x := s.extra()
		x.table, x.seat = table, seat
	}
}

// AtEnd has f called by the strand's goroutine when the strand ends, before the
// locks that it holds are counted. It must be called by the strand itself, and
// does nothing for the nameless one.
func (s *Strand) AtEnd(f func()) {
	if s.id != 0 {
		x := s.extra()
		x.atEnd = append(x.atEnd, f)
	}
}

// Offset returns pc, or the place set by SetPlace, as a distance that means the
// same in every process of this binary, 0 if it is too long. See PlaceAt.
func (s *Strand) Offset(pc uintptr) int32 {
	if s.at != 0 {
		pc, s.at = s.at, 0
	}
	off := int64(pc) - int64(placeBase)
	if int64(int32(off)) != off {
		return 0
	}
	return int32(off)
}

// PlaceAt returns the return address of an Offset, 0 if it is not known.
func PlaceAt(offset int32) uintptr {
	if offset == 0 {
		return 0
	}
	return uintptr(int64(placeBase) + int64(offset))
}

// A Blocker is a place for a strand to wait in, other than the waist's own: one
// that another process can end directly.
type Blocker struct {
	// Block waits until what is waited for has come about, and returns true, or
	// until Wake is called; it may return false at any time.
	Block func() bool
	// Wake makes Block return, now or the next time. It is called from anywhere.
	Wake func()
	// Leave, if not nil, is called by the strand when its wait is over.
	Leave func()
}

// ParkIn is Park that waits in b. The strand must have no scheduler.
func (w Wait) ParkIn(ctx context.Context, on Resource, b *Blocker) error {
	if b.Leave != nil {
		defer b.Leave()
	}
	timed, published := w.publish(ctx, on)
	if published {
		defer w.withdraw()
		if err := w.refuse(on, timed); err != nil {
			return err
		}
	}
	s, own := w.s, false
	s.blocker.Store(b)
	defer s.blocker.Store(nil)
	if ctx.Done() != nil {
		if own = ctx == context.Context(&s.ctx) && s.watchesOwn(); own {
			s.ownCtx.Store(true)
			if ctx.Err() != nil {
				w.settle(over)
			}
		} else {
			end := func() {
				if w.settle(over) {
					s.wake()
				}
			}
			stop, ended := onEnd(ctx, end)
			if ended {
				end()
			}
			defer stop()
		}
	}
	for w.is(open) {
		if b.Block() {
			w.settle(granted)
		}
	}
	if own {
		s.ownCtx.Store(false)
	}
	if err := w.verdict(); err != nil {
		return err
	}
	if w.is(over) {
		return w.timedOut(ctx, on)
	}
	return nil
}

// A Refuser is a resource that keeps its waiters where other processes see them.
// Refuse takes w, which is in a deadlock, from among them; false says that it has
// been granted before, or is none.
type Refuser interface {
	Resource
	Refuse(w Wait) bool
}

// An Arbiter is a Graph whose strands other processes may refuse as well.
type Arbiter interface {
	Graph
	// Arbitrate calls decide, which does not block, while no other process
	// decides about the strands of the graph.
	Arbitrate(decide func())
}

// A Namer is a Graph that knows what its strands are called.
type Namer interface {
	Graph
	// Name returns the name of a strand, "" if it is not known.
	Name(r Ref) string
}

// A Numbered is a resource as Graph.Waiting returns it that tells two waits of
// one strand for one thing apart.
type Numbered interface {
	Resource
	// Number is another for every wait of the strand.
	Number() uint64
}

// arbitrate calls decide, alone among the processes that could decide about any
// of nodes.
func arbitrate(nodes []node, decide func()) {
	if !slices.ContainsFunc(nodes, func(n node) bool { return n.ref.Process != 0 }) {
		decide()
		return
	}
	for g := range Published() {
		if a, ok := g.(Arbiter); ok {
			next := decide
			decide = func() { a.Arbitrate(next) }
		}
	}
	decide()
}

// end ends w, which is in a deadlock, and reports whether it was not too late.
func (w Wait) end(on Resource) bool {
	if r, ok := on.(Refuser); ok && !r.Refuse(w) {
		return false
	}
	return w.settle(over)
}

// Recheck is Wait.Recheck for the strand's present wait, if there is one. It is
// for whoever knows of strands elsewhere that may have joined a closed set.
func (s *Strand) Recheck() { Wait{s, s.phase.Load() >> seqShift}.Recheck() }
