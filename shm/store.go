package shm

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/tristrand/tristrand/internal/segment"
)

// A store keeps the items of a queue in shared memory, one behind the other in a
// ring that grows. The caller holds the queue's guard.
//
// # What a killed process leaves
//
// A change is made in three steps: the bytes are written where nothing is, the
// new state is written beside the current one, and one store makes it the current
// one. Killed before that store the process has changed nothing, after it all.
//
// # The ring
//
// Items lie from head on. As long as the end is not reached they end at tail; once
// it was, they end at wrap, and go on from 0 to tail. An item is never split. When
// one finds no room the ring grows: what has wrapped is moved behind wrap, where
// nothing is. A queue that becomes empty begins again at 0, in memory that is in
// the processor's caches, and gives back what it needed for a rush.
type store struct {
	head *storeHead
	seg  *segment.Segment
}

// storeHead is what is shared of a store besides the items.
type storeHead struct {
	active atomic.Uint32 // which of the states is the current one
	_      uint32
	states [2]storeState
}

// A storeState is all that changes when an item is put or taken.
type storeState struct {
	head, tail uint64
	wrap       uint64 // 0: not wrapped
	size       uint64 // of the ring
	items      uint64
	unfinished uint64 // of Join
	most       uint64 // the end of what was used since calm was 0
	calm       uint32 // how often it has become empty since the ring was given back
	down       uint32 // shut down
}

const (
	itemHeader = 8
	firstRing  = 64 << 10
	bigRing    = 1 << 20 // from here on memory is given back
	calmAfter  = 64      // times empty without a need for a big ring

	// maxRing bounds a queue's bytes. It costs address space only: memory is
	// taken as it is used.
	maxRing = 1 << 30
)

var (
	errNoRoom = errors.New("no room")
	errSpoilt = errors.New("shm: the memory of the queue does not make sense: a process that has it has overwritten it")
)

// now returns the state. It is checked, as other processes can write what they
// like there: what it says lies within the ring.
func (q store) now() (storeState, error) {
	s := q.head.states[q.head.active.Load()&1]
	if s.size == 0 {
		s.size = firstRing
	}
	end := s.tail
	if s.wrap != 0 {
		end = s.wrap
	}
	if s.size > uint64(q.seg.Size()) || end > s.size || s.head > end || s.wrap != 0 && s.tail > s.head ||
		s.items > maxRing || s.items > 0 && s.wrap == 0 && s.head == s.tail {
		return s, errSpoilt
	}
	return s, nil
}

// commit makes s the state.
func (q store) commit(s storeState) { q.head.active.Store(q.prepare(s)) }

// prepare writes s beside the state, and returns where.
func (q store) prepare(s storeState) uint32 {
	next := q.head.active.Load()&1 ^ 1
	q.head.states[next] = s
	return next
}

// taken returns how many bytes of a ring an item takes.
func taken(n int) uint64 { return (uint64(n) + itemHeader + 7) &^ 7 }

// put adds an item to s, in memory, and returns the new state. It returns
// errNoRoom if the ring cannot grow any more.
func (q store) put(s storeState, item []byte) (storeState, error) {
	need, mem := taken(len(item)), q.seg.Bytes()
	limit := uint64(len(mem))
	at := s.tail
	switch {
	case s.wrap != 0 && s.tail+need <= s.head:
	case s.wrap != 0: // move what has wrapped behind the rest
		if s.wrap+s.tail+need > limit {
			return s, errNoRoom
		}
		copy(mem[s.wrap:s.wrap+s.tail], mem[:s.tail])
		s.tail += s.wrap
		at, s.wrap = s.tail, 0
	case s.tail+need > s.size && need <= s.head:
		at, s.wrap = 0, s.tail
	case s.tail+need > limit:
		return s, errNoRoom
	}
	s.tail = at + need
	for s.size < max(s.tail, s.wrap) {
		s.size *= 2
	}
	s.size = min(s.size, limit)
	s.most = max(s.most, s.tail, s.wrap)
	binary.NativeEndian.PutUint64(mem[at:], uint64(len(item)))
	copy(mem[at+itemHeader:], item)
	s.items++
	s.unfinished++
	return s, nil
}

// take appends the first item of s, which has one, to buf, and returns it with the
// new state.
func (q store) take(s storeState, buf []byte) (storeState, []byte, error) {
	mem := q.seg.Bytes()
	end := s.tail
	if s.wrap != 0 {
		end = s.wrap
	}
	if end-s.head < itemHeader {
		return s, nil, errSpoilt
	}
	n := binary.NativeEndian.Uint64(mem[s.head:])
	if n > end-s.head-itemHeader || taken(int(n)) > end-s.head {
		return s, nil, errSpoilt
	}
	at := s.head + itemHeader
	buf = append(buf, mem[at:at+n]...)
	s.items--
	if s.head += taken(int(n)); s.wrap != 0 && s.head == s.wrap {
		s.head, s.wrap = 0, 0
	}
	if s.items == 0 {
		s = q.emptied(s)
	}
	return s, buf, nil
}

// emptied returns s, in which nothing is any more, as it shall begin again.
func (q store) emptied(s storeState) storeState {
	s.head, s.tail, s.wrap, s.items = 0, 0, 0, 0
	if s.size > bigRing {
		s.calm++
	}
	return s
}

// relax gives back the memory of a rush, if the queue is empty and has been
// calm since. It is called with the current state, and changes it.
func (q store) relax(s storeState) error {
	if s.items > 0 || s.calm < calmAfter {
		return nil
	}
	calm, from := s.most <= bigRing, s.size
	s.calm, s.most = 0, 0
	if calm {
		s.size = bigRing
	}
	q.commit(s)
	if !calm {
		return nil
	}
	return q.seg.Punch(bigRing, int(from))
}

// String is for errors.
func (s storeState) String() string {
	return fmt.Sprintf("%d items in %d bytes", s.items, s.size)
}
