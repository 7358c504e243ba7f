package shm

import (
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"unsafe"
	"weak"

	"github.com/tristrand/tristrand/internal/pidfd"
	"github.com/tristrand/tristrand/internal/segment"
	"github.com/tristrand/tristrand/strand"
)

// An arena is one segment with objects in it, as this process has it mapped. A
// process that makes objects has one of its own, or several when one is full, and
// one for each process that it got objects from. It stays mapped for as long as
// something here can reach it: an object, or a goroutine that serves it.
type arena struct {
	mem   *memory
	seats *[maxSeats]seat
	refs  *[maxUnits]atomic.Int32 // objects and waits of this process
	id    uint64                  // among the arenas of this process
	self  uint32                  // this process's place among the procs
	guest uint32                  // its guests' seat
	seg   *segment.Segment

	keeper  keeper
	watcher watcher
	shadow  shadow
	pinned  atomic.Bool // in pins
}

// A seat is what this process knows of one of its own strands' spots.
type seat struct {
	strand  atomic.Pointer[strand.Strand]
	parked  atomic.Pointer[parked]         // it waits in the waist
	blocker atomic.Pointer[strand.Blocker] // it waits in its spot
}

var arenas struct {
	mu      sync.Mutex
	all     []weak.Pointer[arena]
	making  *arena // where new objects are made
	lastID  uint64
	publish sync.Once
}

// newArena makes an arena for the objects of this process.
func newArena() (*arena, error) {
	seg, err := segment.New("tristrand-shm", int(unsafe.Sizeof(memory{})))
	if err != nil {
		return nil, fmt.Errorf("shm: memory for objects: %w", err)
	}
	mem := (*memory)(unsafe.Pointer(&seg.Bytes()[0]))
	mem.head.magic, mem.head.size = magic, uint64(unsafe.Sizeof(memory{}))
	mem.head.high.Store(firstSeat)
	mem.head.next = 1
	return openArena(seg)
}

// adoptArena returns the arena that is in seg, whose reference it takes over.
func adoptArena(seg *segment.Segment) (*arena, error) {
	arenas.mu.Lock()
	defer arenas.mu.Unlock()
	for _, w := range arenas.all {
		if a := w.Value(); a != nil && a.seg == seg {
			seg.Release()
			return a, nil
		}
	}
	if seg.Size() < int(unsafe.Sizeof(memory{})) {
		seg.Release()
		return nil, fmt.Errorf("shm: a segment of %d bytes holds no objects of this package: its sender is at fault", seg.Size())
	}
	mem := (*memory)(unsafe.Pointer(&seg.Bytes()[0]))
	if mem.head.magic != magic || mem.head.size != uint64(unsafe.Sizeof(memory{})) {
		seg.Release()
		return nil, fmt.Errorf("shm: segment %v holds no objects of this version of the package: all processes must run the same binary", seg.Key())
	}
	return openArena(seg)
}

// openArena registers this process in the arena and the arena in this process.
// The caller holds arenas.mu.
func openArena(seg *segment.Segment) (*arena, error) {
	a := &arena{
		mem:   (*memory)(unsafe.Pointer(&seg.Bytes()[0])),
		seats: new([maxSeats]seat),
		refs:  new([maxUnits]atomic.Int32),
		seg:   seg,
	}
	arenas.lastID++
	a.id = arenas.lastID
	a.shadow.init()
	if err := a.join(); err != nil {
		seg.Release()
		return nil, err
	}
	live := arenas.all[:0]
	for _, w := range arenas.all {
		if w.Value() != nil {
			live = append(live, w)
		}
	}
	arenas.all = append(live, weak.Make(a))
	arenas.publish.Do(func() { strand.Publish(graph{}) })
	a.watcher.stops = map[uint32]watch{}
	runtime.AddCleanup(a, func(r remains) { go closeArena(r) }, remains{a.mem, a.self, seg, a.watcher.stops})
	return a, nil
}

// remains is what is left of an arena that nothing can reach any more.
type remains struct {
	mem   *memory
	self  uint32
	seg   *segment.Segment
	stops map[uint32]watch
}

// closeArena takes this process out of the arena's table, as if it had died, and
// unmaps it.
func closeArena(r remains) {
	for _, w := range r.stops {
		w.stop()
	}
	a := &arena{mem: r.mem, self: r.self, seats: new([maxSeats]seat), refs: new([maxUnits]atomic.Int32)}
	a.shadow.init()
	a.watcher.stops = map[uint32]watch{}
	a.watcher.off = true
	a.guest = a.mem.procs[r.self].guest.Load()
	p := &a.mem.procs[r.self].word
	w := p.Load()
	if word := procWord(procRecovering, a.self, w, procPID(w)); p.CompareAndSwap(w, word) {
		a.recover(a.self, word)
	}
	r.seg.Release()
}

// mapped returns the arenas that this process has mapped.
func mapped() []*arena {
	arenas.mu.Lock()
	defer arenas.mu.Unlock()
	var all []*arena
	for _, w := range arenas.all {
		if a := w.Value(); a != nil {
			all = append(all, a)
		}
	}
	return all
}

// ProcessDied tells the package that a process has ended, so that what it held
// is given back at once. Who waits for something finds out by itself; package
// process calls it for its workers, for when nobody waits.
func ProcessDied(pid int) {
	now, err := pidfd.Identity(pid) // the pid may be another's already
	for _, a := range mapped() {
		for i := range a.mem.procs {
			p := &a.mem.procs[i]
			if w := p.word.Load(); procPID(w) == pid && (err != nil || now == 0 || now != p.id.Load()) {
				a.recoverProc(uint32(i), w)
			}
		}
	}
}
