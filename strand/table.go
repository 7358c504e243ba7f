package strand

import (
	"iter"
	"sync"
	"sync/atomic"
)

// The table of strands. A slot is a number that fits in the word of a lock;
// its generation makes ids unique. A slot is given again when its strand has
// ended and none of the locks that it held still names it.
const (
	slotBits  = 24
	chunkBits = 12
	chunkSize = 1 << chunkBits
	chunks    = 1 << (slotBits - chunkBits)

	namelessSlot = 1 // 0 is nobody
	firstSlot    = 2
)

type entry struct {
	s   atomic.Pointer[Strand]
	gen uint64 // guarded by table.mu
}

var table struct {
	chunks [chunks]atomic.Pointer[[chunkSize]entry]

	mu   sync.Mutex
	free []uint32
	next uint32 // the first slot that was never used
}

func slotEntry(slot uint32) *entry {
	c := table.chunks[slot>>chunkBits].Load()
	if c == nil {
		return nil
	}
	return &c[slot&(chunkSize-1)]
}

// bySlot returns the strand of a slot, or nil when the slot is free.
func bySlot(slot uint32) *Strand {
	if slot == namelessSlot {
		return nameless
	}
	e := slotEntry(slot)
	if e == nil {
		return nil
	}
	return e.s.Load()
}

// Find returns the strand of this process that has the id, or nil when there
// is none or it has ended and left nothing locked.
func Find(id ID) *Strand {
	s := bySlot(uint32(id & (1<<slotBits - 1)))
	if s == nil || s.id != id || id == 0 {
		return nil
	}
	return s
}

// register gives s a slot and an id. With all 16 million slots taken a strand
// stays without: it is nameless then.
func register(s *Strand) {
	table.mu.Lock()
	defer table.mu.Unlock()
	var slot uint32
	if n := len(table.free); n > 0 {
		slot = table.free[n-1]
		table.free = table.free[:n-1]
	} else {
		if table.next == 0 {
			table.next = firstSlot
		}
		if table.next == 1<<slotBits {
			return
		}
		slot = table.next
		table.next++
		if table.chunks[slot>>chunkBits].Load() == nil {
			table.chunks[slot>>chunkBits].Store(new([chunkSize]entry))
		}
	}
	e := slotEntry(slot)
	s.slot = slot
	s.id = ID(e.gen<<slotBits) | ID(slot)
	e.gen++
	e.s.Store(s)
}

func unregister(s *Strand) {
	if s.slot == 0 {
		return
	}
	slotEntry(s.slot).s.Store(nil)
	table.mu.Lock()
	table.free = append(table.free, s.slot)
	table.mu.Unlock()
}

// All yields the strands that have not ended, in no order.
func All() iter.Seq[*Strand] {
	return func(yield func(*Strand) bool) {
		for s := range slots() {
			if !s.ended.Load() && !yield(s) {
				return
			}
		}
	}
}

// slots yields every registered strand, ended ones that left locks included.
func slots() iter.Seq[*Strand] {
	return func(yield func(*Strand) bool) {
		for i := range table.chunks {
			c := table.chunks[i].Load()
			if c == nil {
				return
			}
			for j := range c {
				if s := c[j].s.Load(); s != nil && !yield(s) {
					return
				}
			}
		}
	}
}
