package shm

import (
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"unsafe"

	"github.com/tristrand/tristrand/internal/parcel"
	"github.com/tristrand/tristrand/internal/segment"
	"github.com/tristrand/tristrand/internal/segment/pool"
)

// Bytes is a piece of memory that several processes see: for data too large to be
// copied. It crosses as a field of an input or an output; only its place is sent,
// and both sides read and write the same bytes.
//
// There is no lock in it. Whoever sends it should leave it alone until the other
// side is done, or guard it with a Lock that goes along.
//
// # Whose it is
//
// Each process has handles of its own, and the memory is used again when all of
// them are closed. Who calls NewBytes closes that handle, who gets a result
// closes what is in it. What arrives in a job's input is the job's and closed
// for it when its function has returned; so is what the function returns, which
// belongs to the receiver then. Under an engine of this process the handle itself
// is handed on, and nothing is closed for anybody.
//
// A handle that is garbage is closed too, but not after View: what View returned
// may live longer, and memory must not change under it.
type Bytes struct{ h *handle } // the encoder copies what it encodes

// A handle is one process's hold on some Bytes.
type handle struct {
	mu      sync.Mutex
	claim   *claim // nil: closed
	n       int
	cleanup runtime.Cleanup
}

var _ parcel.Borrower = (*Bytes)(nil)

// NewBytes returns memory of n bytes. What it holds at first is not defined,
// since it is used again without being cleared: whoever makes it fills it. A
// first use costs about a microsecond a KiB, a later one a fiftieth of that. It
// returns ErrUnsupported where there is no such memory.
func NewBytes(n int) (*Bytes, error) {
	if n < 0 {
		return nil, fmt.Errorf("shm: NewBytes(%d): the size cannot be below 0", n)
	}
	s, err := pool.Shared().Get(n)
	if err != nil {
		return nil, fmt.Errorf("shm: NewBytes(%d): %w", n, err)
	}
	w := wordOf(s)
	gen := uint32(w.Load()>>32) + 1
	w.Store(uint64(gen)<<32 | oneHandle)
	return &Bytes{newHandle(&claim{seg: s, gen: gen}, n)}, nil
}

func newHandle(c *claim, n int) *handle {
	h := &handle{claim: c, n: n}
	h.cleanup = runtime.AddCleanup(h, (*claim).release, c)
	return h
}

// use calls f with the claim while it cannot be closed.
func (b *Bytes) use(f func(h *handle, c *claim) error) error {
	h := b.h
	if h == nil {
		return errors.New("shm: these Bytes are a zero value: make them with NewBytes, or get them in a task's input")
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.claim == nil {
		return errors.New("shm: these Bytes are closed")
	}
	return f(h, h.claim)
}

// View returns the memory, from now on until Close, or nil after it. What was
// returned must not be touched after Close: it may be gone, which ends the
// process, or somebody else's.
func (b *Bytes) View() (view []byte) {
	_ = b.use(func(h *handle, c *claim) error { // nil says it
		h.cleanup.Stop()
		view = c.seg.Bytes()[:h.n:h.n]
		return nil
	})
	return view
}

// Len returns the number of bytes, 0 after Close.
func (b *Bytes) Len() (n int) {
	_ = b.use(func(h *handle, _ *claim) error { // 0 says it
		n = h.n
		return nil
	})
	return n
}

// Clone returns another handle of the same memory, to be closed by the caller:
// for a function that keeps what arrived in its input.
func (b *Bytes) Clone() (other *Bytes, err error) {
	err = b.use(func(h *handle, c *claim) error {
		again, err := join(c.seg, c.gen, false)
		if err != nil {
			return fmt.Errorf("shm: Bytes.Clone: %w", err)
		}
		c.seg.Retain()
		other = &Bytes{newHandle(again, h.n)}
		return nil
	})
	return other, err
}

// Close gives the handle up. The memory is used again, or given back to the
// system, when no handle of any process is left. Again it does nothing.
func (b *Bytes) Close() error {
	if b.h == nil {
		return nil
	}
	b.h.mu.Lock()
	c := b.h.claim
	b.h.claim = nil
	if c != nil {
		b.h.cleanup.Stop()
	}
	b.h.mu.Unlock()
	if c != nil {
		c.release()
	}
	return nil
}

// Return is Close for the engine that borrowed it for a job.
func (b *Bytes) Return() { _ = b.Close() } // it never fails

// String names the memory for errors.
func (b *Bytes) String() string {
	name := "shm.Bytes (closed)"
	_ = b.use(func(h *handle, c *claim) error { // the name says it
		name = fmt.Sprintf("shm.Bytes of %d bytes at %.8s", h.n, c.seg.Key())
		return nil
	})
	return name
}

// Carry makes the memory go along with a job; engines call it.
func (b *Bytes) Carry(p *parcel.Parcel) error {
	return b.use(func(_ *handle, c *claim) error {
		seg, gen := c.seg, c.gen
		if err := depart(seg, gen); err != nil {
			return fmt.Errorf("shm: Bytes: %w", err)
		}
		p.Segment(seg)
		p.Undo(func() { stayed(seg, gen) })
		return nil
	})
}

const bytesTag = "shm.Bytes"

// MarshalCBOR encodes the place of the memory; it needs to have been carried.
func (b *Bytes) MarshalCBOR() (data []byte, err error) {
	err = b.use(func(h *handle, c *claim) error {
		data, err = parcel.MarshalRef(parcel.Ref{
			What: bytesTag, Key: c.seg.Key(), Args: []uint64{uint64(h.n), uint64(c.gen)},
		})
		return err
	})
	return data, err
}

// UnmarshalCBOR makes b a handle of the memory that was encoded.
func (b *Bytes) UnmarshalCBOR(data []byte) error {
	s, ref, err := parcel.UnmarshalArgs(data, bytesTag, 0, 1, 2)
	if err != nil {
		return fmt.Errorf("shm: %w", err)
	}
	n, gen := ref.Args[0], uint32(ref.Args[1])
	if room := s.Size() - pool.TailBytes; room < 0 || n > uint64(room) || ref.Args[1]>>32 != 0 {
		s.Release()
		return fmt.Errorf("shm: Bytes of %d bytes in a segment of %d: their sender is at fault", n, s.Size())
	}
	c, err := join(s, gen, true)
	if err != nil {
		s.Release()
		return fmt.Errorf("shm: Bytes: %w", err)
	}
	if err := b.Close(); err != nil {
		return err
	}
	s.Populate()
	b.h = newHandle(c, int(n))
	return nil
}

// A claim is one handle's hold on a segment.
type claim struct {
	seg *segment.Segment
	gen uint32
}

func (c *claim) release() {
	w := wordOf(c.seg)
	change(w, c.gen, func(counts uint32) (uint32, bool) { return counts - oneHandle, counts&handles > 0 })
	if c.seg.Made() { // its pool gets it back
		pool.Shared().Lend(c.seg, func() bool { return begin(w) })
	}
	c.seg.Release()
}

// The word of a segment says who uses it. It stands in the segment's tail, for
// all processes: a generation, which each new use counts up, so that what was
// sent in an earlier one is told apart; how many are under way between processes;
// and how many handles there are. A process that is killed leaves it too high
// for ever, and the segment is not used again but given back when the last one
// of the others unmaps it.
const (
	oneHandle   = 1
	handles     = 1<<16 - 1
	oneUnderWay = 1 << 16
	underWay    = handles << 16
)

var errGone = errors.New("the memory was closed before it arrived")

func wordOf(s *segment.Segment) *atomic.Uint64 {
	return (*atomic.Uint64)(unsafe.Pointer(&pool.Tail(s)[0]))
}

// change changes the counts of generation gen, unless f says no.
func change(w *atomic.Uint64, gen uint32, f func(counts uint32) (uint32, bool)) bool {
	for {
		old := w.Load()
		if uint32(old>>32) != gen {
			return false
		}
		counts, ok := f(uint32(old))
		if !ok {
			return false
		}
		if w.CompareAndSwap(old, old&^(1<<32-1)|uint64(counts)) {
			return true
		}
	}
}

// begin begins a new use if the last one has ended.
func begin(w *atomic.Uint64) bool {
	old := w.Load()
	return uint32(old) == 0 && w.CompareAndSwap(old, (old>>32+1)<<32|oneHandle)
}

// depart counts one that leaves for another process.
func depart(s *segment.Segment, gen uint32) error {
	if !change(wordOf(s), gen, func(c uint32) (uint32, bool) { return c + oneUnderWay, c&underWay != underWay }) {
		return errors.New("65,535 of them are under way already")
	}
	return nil
}

// stayed takes a depart back.
func stayed(s *segment.Segment, gen uint32) {
	change(wordOf(s), gen, func(c uint32) (uint32, bool) { return c - oneUnderWay, c&underWay != 0 })
}

// join makes a claim beside those that are there, of one that has arrived.
func join(s *segment.Segment, gen uint32, arrived bool) (*claim, error) {
	ok := change(wordOf(s), gen, func(c uint32) (uint32, bool) {
		if c == 0 || c&handles == handles {
			return 0, false
		}
		if arrived && c&underWay != 0 {
			c -= oneUnderWay
		}
		return c + oneHandle, true
	})
	if !ok {
		return nil, errGone
	}
	return &claim{seg: s, gen: gen}, nil
}
