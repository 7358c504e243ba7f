package shm

import (
	"bytes"
	"sync/atomic"
	"unsafe"
)

// How the memory of an arena is laid out. All processes that share one run the
// same binary, so the layout is Go's own; its size in the header is checked all
// the same. Everything that more than one process writes is atomic, names aside:
// those are for people, and may be read half written.

const (
	maxProcs = 128  // that have an arena mapped at a time
	maxSeats = 4096 // strands that have used an arena and have not ended
	maxUnits = 4096 // of memory for objects
	unitSize = 128

	magic = 0x74726973_616e6431
)

type memory struct {
	head  header
	procs [maxProcs]proc
	spots [maxSeats]spot
	faces [maxSeats]face
	dir   [maxUnits]entry
	units [maxUnits][unitSize]byte
}

type header struct {
	magic   uint64
	size    uint64
	high    atomic.Uint64 // no seat from here on is taken; above, a number that changes with each sit
	joins   atomic.Uint32 // changes whenever a process joins
	taken   atomic.Int32  // about how many seats are
	tickets atomic.Uint64 // given to those who wait, in the order in which they came
	alloc   guard         // of dir
	judge   guard         // held by who decides about a deadlock
	next    uint32        // where to look for free units; a hint, guarded by alloc
	_       [76]byte
}

// A proc is a process that has the arena mapped.
type proc struct {
	word     atomic.Uint64 // state, who recovers it, generation, pid; see procWord
	id       atomic.Uint64 // from package pidfd
	doorbell atomic.Uint32 // rung when strands of the process have been granted something
	guest    atomic.Uint32 // the seat that holds for goroutines that are no strands
	_        [40]byte
}

// A spot says what one strand waits for. The spots are the queue of every object:
// who wants to wake somebody looks through them for the lowest ticket. There is no
// list to be left half linked by a process that is killed.
type spot struct {
	state  atomic.Uint32 // number of the wait, nudged, phase; slept on
	owner  atomic.Uint32 // process + 1; 0 is a free seat
	what   atomic.Uint64 // unit<<whatShift | flags
	ticket atomic.Uint64
	since  atomic.Int64 // when it came, in Unix nanoseconds
}

// A face says who has a seat.
type face struct {
	strand atomic.Uint64 // its id in its process, 0 for a guest
	mark   atomic.Uint64 // what the object was like when the wait began
	name   [48]byte
}

// An entry of the directory says what begins at a unit: kind, how many units it
// takes, and a serial number that the next object there will not have.
type entry struct{ word atomic.Uint64 }

const (
	kindBits    = 8
	spanBits    = 24
	serialShift = kindBits + spanBits
)

func entryWord(k kind, span, serial uint32) uint64 {
	return uint64(k) | uint64(span)<<kindBits | uint64(serial)<<serialShift
}

func (e *entry) kind() kind     { return kind(e.word.Load() & (1<<kindBits - 1)) }
func (e *entry) span() uint32   { return uint32(e.word.Load() >> kindBits & (1<<spanBits - 1)) }
func (e *entry) serial() uint32 { return uint32(e.word.Load() >> serialShift) }

// A kind is what an object is. Nothing has the kind 0.
type kind uint8

const (
	kindLock kind = iota + 1
	kindRLock
	kindSemaphore
	kindBoundedSemaphore
	kindEvent
	kindCondition
	kindBarrier
	kindCell // of another type of this package, which waits here
)

var kindNames = [...]string{"nothing", "lock", "rlock", "semaphore", "semaphore", "event", "condition", "barrier", "object"}

func (k kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return "object"
}

// A cell is what every object begins with.
type cell struct {
	open  [maxProcs / 64]atomic.Uint64 // the processes that have the object open
	guard guard
	_     uint32
	name  [40]byte
}

// cellAt returns the object at a unit.
func cellAt[T any](a *arena, unit uint32) *T {
	return (*T)(unsafe.Pointer(&a.mem.units[unit&(maxUnits-1)]))
}

func (a *arena) cell(unit uint32) *cell { return cellAt[cell](a, unit) }

// setName writes a name for people, cut to what fits.
func setName(to []byte, name string) {
	n := copy(to, name)
	clear(to[n:])
}

func getName(from []byte) string {
	if i := bytes.IndexByte(from, 0); i >= 0 {
		from = from[:i]
	}
	return string(from)
}
