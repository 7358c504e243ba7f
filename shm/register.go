package shm

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/fxamacker/cbor/v2"

	"github.com/tristrand/tristrand/internal/parcel"
	"github.com/tristrand/tristrand/internal/segment"
)

// A register keeps bytes twice: what is current, and room for what comes next.
// They lie in the object if they are few, in a segment of their own otherwise.
// A nil one is that of a zero Value.
type register struct {
	obj object

	mu   sync.Mutex    // as in line
	cell *registerCell // nil: a zero value, or closed
	half int
	mem  []byte           // both halves
	seg  *segment.Segment // nil: mem is in the object
	done runtime.Cleanup  // of seg
}

type registerCell struct {
	cell
	version atomic.Uint64 // the lowest bit says which half is current
	lengths [2]uint64
	small   [2 * maxSmall]byte
}

const maxSmall = 128 - 16

var errChanged = errors.New("changed meanwhile")

func newRegister(name string, half int) (*register, error) {
	r := new(register)
	var seg *segment.Segment
	var err error
	switch {
	case half <= maxSmall:
	case half == maxEncodedValue:
		seg, err = segment.NewSparse("tristrand value", 2*half)
	default:
		seg, err = segment.New("tristrand value", 2*half)
	}
	if err == nil {
		if err = r.obj.make(kindCell, name, units[registerCell]()); err != nil && seg != nil {
			seg.Release()
		}
	}
	if err != nil {
		return nil, fmt.Errorf("shm: memory for a value: %w", err)
	}
	r.open(seg, half)
	return r, nil
}

func (r *register) open(seg *segment.Segment, half int) {
	r.cell, r.seg, r.half = cellAt[registerCell](r.obj.a, r.obj.unit), seg, half
	if seg == nil {
		r.mem = r.cell.small[:2*half]
		return
	}
	r.mem = seg.Bytes()[:2*half]
	r.done = runtime.AddCleanup(r, (*segment.Segment).Release, seg)
}

func (r *register) close() error {
	if r == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.cell == nil {
		return nil
	}
	if r.seg != nil {
		r.done.Stop()
		r.seg.Release()
	}
	r.cell, r.seg, r.mem = nil, nil, nil
	return r.obj.Close()
}

// hold keeps Close away; the caller unlocks mu.
func (r *register) hold() error {
	if r == nil {
		return new(object).usable("value")
	}
	r.mu.Lock()
	if r.cell == nil {
		r.mu.Unlock()
		return r.obj.usable("value")
	}
	return nil
}

func (r *register) registerName() string {
	if r == nil {
		return new(object).name("value")
	}
	return r.obj.name("value")
}

func (r *register) lock(ctx context.Context) error {
	if err := r.hold(); err != nil {
		return err
	}
	return r.cell.guard.lockHeld(ctx, r.obj.a, r.obj.unit, &r.mu, r.hold, (*guard).lockUnder)
}

func (r *register) unlock() {
	r.cell.guard.unlock(r.obj.a)
	r.mu.Unlock()
}

// load appends the value to buf.
func (r *register) load(ctx context.Context, buf []byte) ([]byte, uint64, error) {
	if err := r.lock(ctx); err != nil {
		return nil, 0, err
	}
	defer r.unlock()
	version := r.cell.version.Load()
	n := r.cell.lengths[version&1]
	if n > uint64(r.half) {
		return nil, 0, fmt.Errorf("shm: %s: a value of %d bytes where %d fit: a process that has it has overwritten it", r.registerName(), n, r.half)
	}
	return append(buf, r.side(version)[:n]...), version, nil
}

// side returns the half that is current in a version.
func (r *register) side(version uint64) []byte {
	if version&1 == 0 {
		return r.mem[:r.half]
	}
	return r.mem[r.half:]
}

// store makes item the value.
func (r *register) store(ctx context.Context, item []byte) error {
	if err := r.lock(ctx); err != nil {
		return err
	}
	defer r.unlock()
	return r.write(item)
}

// replace is store that returns errChanged if the value is not that of version.
func (r *register) replace(ctx context.Context, item []byte, version uint64) error {
	if err := r.lock(ctx); err != nil {
		return err
	}
	defer r.unlock()
	if r.cell.version.Load() != version {
		return errChanged
	}
	return r.write(item)
}

// write writes beside what is current, and then makes that current.
func (r *register) write(item []byte) error {
	if len(item) > r.half {
		return fmt.Errorf("shm: %s: the value takes %d bytes encoded, and %d fit; share large data as Bytes", r.registerName(), len(item), r.half)
	}
	next := r.cell.version.Load() + 1
	copy(r.side(next), item)
	r.cell.lengths[next&1] = uint64(len(item))
	r.cell.version.Store(next)
	return nil
}

func (r *register) carry(p *parcel.Parcel) error {
	if err := r.hold(); err != nil {
		return err
	}
	defer r.mu.Unlock()
	if r.seg != nil {
		r.done.Stop() // as for the object: it may be on its way when nothing here refers to it
		p.Segment(r.seg)
	}
	return r.obj.Carry(p)
}

func (r *register) encode(what string) ([]byte, error) {
	if err := r.hold(); err != nil {
		return nil, err
	}
	defer r.mu.Unlock()
	object, err := r.obj.marshal(what)
	if err != nil {
		return nil, err
	}
	w := lineWire{Object: object}
	if r.seg != nil {
		if w.Items, err = parcel.MarshalRef(parcel.Ref{What: what + " bytes", Key: r.seg.Key()}); err != nil {
			return nil, err
		}
	}
	return cbor.Marshal(w)
}

func decodeRegister(data []byte, what string, half int) (*register, error) {
	var w lineWire
	if err := cbor.Unmarshal(data, &w); err != nil {
		return nil, fmt.Errorf("shm: this is not an encoded %s: %w", what, err)
	}
	var seg *segment.Segment
	if half > maxSmall {
		var err error
		if seg, _, err = parcel.UnmarshalRef(w.Items, what+" bytes", 2*half, 1); err != nil {
			return nil, fmt.Errorf("shm: %w", err)
		}
	}
	r := new(register)
	if err := r.obj.unmarshal(w.Object, what, kindCell); err != nil {
		if seg != nil {
			seg.Release()
		}
		return nil, err
	}
	r.open(seg, half)
	return r, nil
}
