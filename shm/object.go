package shm

import (
	"fmt"
	"math/bits"
	"runtime"
	"sync/atomic"
	"unsafe"

	"github.com/fxamacker/cbor/v2"

	"github.com/tristrand/tristrand/internal/parcel"
)

// An object is what the types of this package have in common: where in which
// arena it is.
type object struct {
	a      *arena
	unit   uint32
	serial uint32
	kind   kind
	gone   atomic.Bool     // closed
	clean  runtime.Cleanup // closes it when nothing here can reach it
}

// units returns how many units a T takes.
func units[T any]() uint32 {
	var t T
	return uint32((unsafe.Sizeof(t) + unitSize - 1) / unitSize)
}

// make makes an object of n units in an arena of this process.
func (o *object) make(k kind, name string, n uint32) error {
	arenas.mu.Lock()
	defer arenas.mu.Unlock()
	for range 2 {
		if arenas.making == nil {
			a, err := newArena()
			if err != nil {
				return err
			}
			arenas.making = a
		}
		if unit, serial, ok := arenas.making.alloc(k, name, n); ok {
			o.set(arenas.making, unit, serial, k)
			return nil
		}
		arenas.making = nil // it is full
	}
	return fmt.Errorf("shm: a %v of %d bytes does not fit in an arena", k, n*unitSize)
}

// set makes o the object at a unit, where this process has a reference.
func (o *object) set(a *arena, unit, serial uint32, k kind) {
	o.a, o.unit, o.serial, o.kind = a, unit, serial, k
	o.clean = runtime.AddCleanup(o, func(r reference) { r.a.drop(r.unit) }, reference{a, unit})
}

type reference struct {
	a    *arena
	unit uint32
}

// alloc finds n free units, clears them and makes them an object that this
// process has open. Killed before its last store, it has changed nothing.
func (a *arena) alloc(k kind, name string, n uint32) (unit, serial uint32, ok bool) {
	h := &a.mem.head
	h.alloc.lock(a)
	defer h.alloc.unlock(a)
	first, free := uint32(1), uint32(0)
	for first+free < maxUnits && free < n {
		if e := &a.mem.dir[first+free]; e.kind() != 0 {
			first, free = first+free+max(e.span(), 1), 0
		} else {
			free++
		}
	}
	if free < n || first+n > maxUnits {
		return 0, 0, false
	}
	for i := range n {
		a.mem.units[first+i] = [unitSize]byte{}
	}
	c := a.cell(first)
	setName(c.name[:], name)
	serial = a.mem.dir[first].serial() + 1
	a.refs[first].Store(1)
	c.open[a.self/64].Store(1 << (a.self % 64))
	a.mem.dir[first].word.Store(entryWord(k, n, serial))
	return first, serial, true
}

// open adds a reference of this process to an object that another one has; it
// fails if the object has been closed meanwhile.
func (a *arena) open(unit, serial uint32, k kind) bool {
	a.mem.head.alloc.lock(a)
	defer a.mem.head.alloc.unlock(a)
	e := &a.mem.dir[unit]
	if e.kind() != k || e.serial() != serial {
		return false
	}
	if a.refs[unit].Add(1) == 1 {
		a.cell(unit).open[a.self/64].Or(1 << (a.self % 64))
	}
	return true
}

// hold adds a reference to an object that this process has open.
func (a *arena) hold(unit uint32) { a.refs[unit].Add(1) }

// drop gives up a reference; the last one of the last process frees the object.
func (a *arena) drop(unit uint32) {
	if a.refs[unit].Add(-1) > 0 {
		return
	}
	a.mem.head.alloc.lock(a)
	defer a.mem.head.alloc.unlock(a)
	if a.refs[unit].Load() <= 0 { // not opened again meanwhile
		a.shut(unit, a.self)
	}
}

// shut notes that process p does not have the object open. The caller holds the
// alloc guard.
func (a *arena) shut(unit, p uint32) {
	c := a.cell(unit)
	c.open[p/64].And(^(uint64(1) << (p % 64)))
	left := 0
	for i := range c.open {
		left += bits.OnesCount64(c.open[i].Load())
	}
	if e := &a.mem.dir[unit]; left == 0 && e.kind() != 0 {
		e.word.Store(entryWord(0, 0, e.serial()))
	}
}

// usable returns an error if the object is a zero value or closed.
func (o *object) usable(what string) error {
	switch {
	case o.a == nil:
		return fmt.Errorf("shm: this %s is a zero value: make it with a New function, or get it in a task's input", what)
	case o.gone.Load():
		return fmt.Errorf("shm: this %s is closed in this process", what)
	}
	return nil
}

// Close gives the object up in this process: it cannot be used here any more,
// while other processes that have it can go on. The memory is free when all have
// closed it or ended. No strand of this process may be using it. Again is
// harmless.
func (o *object) Close() error {
	if o.a == nil || o.gone.Swap(true) {
		return nil
	}
	o.clean.Stop()
	o.a.drop(o.unit)
	return nil
}

// nameOf names an object for people.
func (a *arena) nameOf(unit uint32, k kind) string {
	if name := getName(a.cell(unit).name[:]); name != "" {
		return fmt.Sprintf("%v %q", k, name)
	}
	key := a.seg.Key()
	return fmt.Sprintf("%v %x.%d", k, key[:3], unit)
}

// name names the object for people.
func (o *object) name(what string) string {
	if o.a == nil {
		return "a zero " + what
	}
	return o.a.nameOf(o.unit, o.kind)
}

// A wire is how an object is encoded: where it is, and which one there.
type wire struct {
	_      struct{} `cbor:",toarray"`
	Ref    cbor.RawMessage
	Serial uint32
}

// Carry adds to p what the object needs to cross into another process. From then
// on the object is not closed by the garbage collector: another process may be
// about to open it.
func (o *object) Carry(p *parcel.Parcel) error {
	if err := o.usable("object"); err != nil {
		return err
	}
	o.clean.Stop()
	p.Segment(o.a.seg)
	return nil
}

func (o *object) marshal(what string) ([]byte, error) {
	if err := o.usable(what); err != nil {
		return nil, err
	}
	off := uintptr(unsafe.Pointer(&o.a.mem.units[o.unit])) - uintptr(unsafe.Pointer(o.a.mem))
	ref, err := parcel.MarshalRef(parcel.Ref{What: "shm." + what, Key: o.a.seg.Key(), Offset: uint64(off)})
	if err != nil {
		return nil, err
	}
	return cbor.Marshal(wire{Ref: ref, Serial: o.serial})
}

func (o *object) unmarshal(data []byte, what string, k kind) error {
	var w wire
	if err := cbor.Unmarshal(data, &w); err != nil {
		return fmt.Errorf("shm: this is not an encoded %s: %w", what, err)
	}
	seg, off, err := parcel.UnmarshalRef(w.Ref, "shm."+what, unitSize, unitSize)
	if err != nil {
		return err
	}
	a, err := adoptArena(seg)
	if err != nil {
		return err
	}
	at := off - int(unsafe.Offsetof(a.mem.units))
	if at < unitSize || at%unitSize != 0 || at/unitSize >= maxUnits {
		return fmt.Errorf("shm: there is no %s at byte %d of a segment: its sender is at fault", what, off)
	}
	unit := uint32(at / unitSize)
	if !a.open(unit, w.Serial, k) {
		return fmt.Errorf("shm: the %s that was sent has been closed by all who had it; keep it open until it has arrived", what)
	}
	if o.a != nil {
		if err := o.Close(); err != nil {
			return err
		}
		o.gone.Store(false)
	}
	o.set(a, unit, w.Serial, k)
	return nil
}
