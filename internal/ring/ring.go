// Package ring moves frames of bytes from one process to another through memory
// that both have mapped.
//
// A ring has one [Producer] and one [Consumer]. The producer writes a frame in
// place and publishes it by storing the tail; the consumer reads it in place and
// gives its room back by storing the head. Neither makes a system call as long as
// the other is busy. One that has nothing to do says so in a word of the ring and
// sleeps on it; the other finds that word set after it has published and wakes it.
//
// # Memory order
//
// The tail, the head and the two words of those who sleep are read and written
// atomically, always: a plain store of one of them loses a wake-up about once in
// five hundred. Where a store has to be seen before what is loaded next, which is so
// for all of them, it is a Swap: under the race detector a Store to memory that is not
// Go's own is a plain one.
//
// # Trust
//
// The other side is not trusted. A consumer checks the tail and each frame's length
// against the ring's own size, which it does not read from the memory; what a frame
// holds can change while it is read, so whoever does not trust the producer copies
// it first. A producer checks the head in the same way. After [ErrCorrupt] a ring
// is of no use.
package ring

import (
	"errors"
	"fmt"
	"math/bits"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/tristrand/tristrand/internal/futex"
)

// ErrCorrupt says that the other side has written what it cannot mean.
var ErrCorrupt = errors.New("the other process has spoilt the ring")

// The places of the shared words, each on a cache line of its own.
const (
	tailAt          = 0
	headAt          = 64
	consumerSleepAt = 128
	producerSleepAt = 192

	// HeaderBytes is what a ring takes besides its data.
	HeaderBytes = 256
)

const (
	lengthBytes = 8 // before each frame: its length, then four bytes that are not used
	skip        = ^uint32(0)
)

// Bytes returns how much memory a ring with so many bytes of data takes. data must
// be a power of two, 4096 at least.
func Bytes(data int) int { return HeaderBytes + data }

// A side is what both ends know of a ring.
type side struct {
	tail, head     *atomic.Uint64
	mine, theirs   *atomic.Uint32 // the words to sleep on
	data           []byte
	mask           uint64
	stopped        atomic.Bool
	poked          atomic.Bool
	cached, actual uint64 // the other side's place when last read, and one's own
}

func newSide(mem []byte) side {
	size := len(mem) - HeaderBytes
	if size < 4096 || bits.OnesCount(uint(size)) != 1 || uintptr(unsafe.Pointer(&mem[0]))%64 != 0 {
		panic(fmt.Sprintf("tristrand: bug: a ring of %d bytes", size))
	}
	return side{
		tail: (*atomic.Uint64)(unsafe.Pointer(&mem[tailAt])),
		head: (*atomic.Uint64)(unsafe.Pointer(&mem[headAt])),
		data: mem[HeaderBytes:],
		mask: uint64(size - 1),
	}
}

// MaxFrame returns the length of the longest frame that a ring with so many bytes of
// data takes: a quarter, so that one that has to begin at the start always fits.
func MaxFrame(data int) int { return data/4 - lengthBytes }

// What the word of one that sleeps says.
const (
	awake     = 0
	sleeping  = 1
	lingering = 2 // it can wait for more than one frame
)

// sleep waits until the other side has woken this one, or poll says that there is
// no need, or d has passed; d ≤ 0 is for ever. It must be called by one goroutine at
// a time.
func (s *side) sleep(as uint32, poll func() bool, d time.Duration) {
	s.mine.Swap(as) // see the package's comment
	if poll() || s.stopped.Load() || s.poked.Swap(false) {
		s.mine.Store(0)
		return
	}
	futex.Wait((*uint32)(unsafe.Pointer(s.mine)), as, d)
	s.mine.Store(0)
}

// poke makes the side's own sleeper return, now or the next time.
func (s *side) poke() {
	s.poked.Store(true)
	if as := s.mine.Load(); as != awake && s.mine.CompareAndSwap(as, awake) {
		futex.Wake((*uint32)(unsafe.Pointer(s.mine)), 1)
	}
}

// wake wakes the other side if it sleeps.
func (s *side) wake() {
	if as := s.theirs.Load(); as != awake && s.theirs.CompareAndSwap(as, awake) {
		futex.Wake((*uint32)(unsafe.Pointer(s.theirs)), 1)
	}
}

// stop makes the side's own sleeper return, now and from now on.
func (s *side) stop() {
	s.stopped.Store(true)
	s.mine.Store(0)
	futex.Wake((*uint32)(unsafe.Pointer(s.mine)), 1)
}

func frameBytes(n int) uint64 { return uint64(n+lengthBytes+7) &^ 7 }

// A Producer writes frames. Its methods, Stop and Wake aside, are for one goroutine at
// a time.
type Producer struct {
	side
	reserved uint64 // where the frame that is being written begins
}

// NewProducer returns the writing end of the ring in mem, whose length is Bytes of a
// power of two. A ring begins as zeros.
func NewProducer(mem []byte) *Producer {
	p := &Producer{side: newSide(mem)}
	p.mine = (*atomic.Uint32)(unsafe.Pointer(&mem[producerSleepAt]))
	p.theirs = (*atomic.Uint32)(unsafe.Pointer(&mem[consumerSleepAt]))
	p.actual, p.cached = p.tail.Load(), p.head.Load()
	return p
}

// Reserve returns room for a frame of n bytes, which Commit publishes, or nil while
// there is none. n is at most MaxFrame.
func (p *Producer) Reserve(n int) ([]byte, error) {
	size := uint64(len(p.data))
	if n < 0 || n > MaxFrame(len(p.data)) {
		return nil, fmt.Errorf("ring: a frame of %d bytes; the longest is %d", n, MaxFrame(len(p.data)))
	}
	need := frameBytes(n)
	at := p.actual & p.mask
	pad := uint64(0)
	if at+need > size {
		pad = size - at
	}
	if p.actual+pad+need-p.cached > size {
		p.cached = p.head.Load()
		if used := p.actual - p.cached; used > size {
			return nil, fmt.Errorf("ring: the head is at %d, the tail at %d: %w", p.cached, p.actual, ErrCorrupt)
		}
		if p.actual+pad+need-p.cached > size {
			return nil, nil
		}
	}
	if pad > 0 {
		*p.length(at) = skip
		at = 0
	}
	p.reserved = p.actual + pad
	return p.data[at+lengthBytes : at+lengthBytes+uint64(n)], nil
}

func (p *Producer) length(at uint64) *uint32 { return (*uint32)(unsafe.Pointer(&p.data[at])) }

// Commit publishes the frame that Reserve has given room for, cut to n bytes. The
// consumer may sleep: Wake sees to that, and can be left for later or to others.
func (p *Producer) Commit(n int) {
	*p.length(p.reserved & p.mask) = uint32(n)
	p.actual = p.reserved + frameBytes(n)
	p.tail.Swap(p.actual)
}

// Wake wakes the consumer if it sleeps. Any goroutine may call it.
func (p *Producer) Wake() { p.wake() }

// WakeWaiting is Wake that leaves a consumer asleep that lingers. Wake has to follow.
func (p *Producer) WakeWaiting() {
	if p.theirs.Load() == sleeping {
		p.wake()
	}
}

// Idle reports whether the consumer has taken all frames.
func (p *Producer) Idle() bool { return p.head.Load() == p.actual }

// WaitRoom sleeps until the consumer has given room back, Stop is called, or d has
// passed; d ≤ 0 is for ever. The calling goroutine holds a thread meanwhile.
func (p *Producer) WaitRoom(d time.Duration) {
	before := p.cached
	p.sleep(sleeping, func() bool { return p.head.Load() != before }, d)
}

// Stop ends a WaitRoom, and those to come.
func (p *Producer) Stop() { p.stop() }

// A Consumer reads frames. Its methods, Stop aside, are for one goroutine at a time.
type Consumer struct {
	side
	frame uint64 // how much the frame that was last returned takes
}

// NewConsumer returns the reading end of the ring in mem.
func NewConsumer(mem []byte) *Consumer {
	c := &Consumer{side: newSide(mem)}
	c.mine = (*atomic.Uint32)(unsafe.Pointer(&mem[consumerSleepAt]))
	c.theirs = (*atomic.Uint32)(unsafe.Pointer(&mem[producerSleepAt]))
	c.actual, c.cached = c.head.Load(), c.tail.Load()
	return c
}

// Next returns the next frame, in place, until Advance; ok is false while there is
// none.
func (c *Consumer) Next() (frame []byte, ok bool, err error) {
	size := uint64(len(c.data))
	for {
		if c.actual == c.cached {
			if c.cached = c.tail.Load(); c.actual == c.cached {
				return nil, false, nil
			}
			if c.cached-c.actual > size || c.cached&7 != 0 {
				return nil, false, fmt.Errorf("ring: the tail is at %d, the head at %d: %w", c.cached, c.actual, ErrCorrupt)
			}
		}
		at := c.actual & c.mask
		n := atomic.LoadUint32((*uint32)(unsafe.Pointer(&c.data[at]))) // once: it may change
		if n == skip {
			if c.cached-c.actual < size-at || at == 0 {
				return nil, false, fmt.Errorf("ring: a skip at %d: %w", c.actual, ErrCorrupt)
			}
			c.actual += size - at
			continue
		}
		c.frame = frameBytes(int(n))
		if int(n) > MaxFrame(len(c.data)) || c.frame > c.cached-c.actual || at+c.frame > size {
			return nil, false, fmt.Errorf("ring: a frame of %d bytes at %d: %w", n, c.actual, ErrCorrupt)
		}
		return c.data[at+lengthBytes : at+lengthBytes+uint64(n) : at+lengthBytes+uint64(n)], true, nil
	}
}

// Advance gives back the room of the frame that Next has returned, and wakes the
// producer if it waits for room.
func (c *Consumer) Advance() {
	c.actual += c.frame
	c.frame = 0
	c.head.Swap(c.actual)
	c.wake()
}

// Wait sleeps until there is a frame, Stop is called, or d has passed; d ≤ 0 is for
// ever. The calling goroutine holds a thread meanwhile, so others of its process that
// it has just made ready should be let run first.
func (c *Consumer) Wait(d time.Duration) {
	c.sleep(sleeping, func() bool { return c.tail.Load() != c.actual }, d)
}

// Linger is Wait that WakeWaiting does not end: more frames are to come, and one wake is
// enough for all. d is how long it may take at most if the producer is held up.
func (c *Consumer) Linger(d time.Duration) {
	c.sleep(lingering, func() bool { return c.tail.Load() != c.actual }, d)
}

// Poke ends a Wait, or the next one.
func (c *Consumer) Poke() { c.poke() }

// Stop ends a Wait, and those to come.
func (c *Consumer) Stop() { c.stop() }
