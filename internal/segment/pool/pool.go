// Package pool keeps segments for use again.
//
// A fresh segment costs about a microsecond a KiB, several times the copy of the
// bytes that are to go into it. A [Pool] hands out segments of a few size classes
// whose memory is there and mapped, takes them back, and closes those that nobody
// has wanted for a while.
//
// There are two ways back. [Pool.Put] is for whoever knows that the segment is no
// longer used anywhere. [Pool.Lend] is for a segment that other processes use
// as they like, and in which they count themselves: the pool asks when it next
// looks for one. So the segment returns to the process that made it although the
// last one to use it was another, and without a message.
//
// What is in a segment from a pool is what its last user left there.
package pool

import (
	"math/bits"
	"slices"
	"sync"
	"time"

	"github.com/tristrand/tristrand/internal/segment"
)

const (
	// TailBytes is the size of the tail that a segment has behind what was asked
	// for; it is a page of its own, so that the data begins at a page.
	TailBytes = 4096

	defaultMaxBytes = 256 << 20
	defaultIdle     = 10 * time.Second
)

// A Pool keeps segments for use again. The zero value is ready. It has no
// goroutine; while it keeps something, a timer.
type Pool struct {
	// MaxBytes bounds the memory kept; 0 is 256 MiB, below 0 none is.
	MaxBytes int

	// Idle is how long a segment is kept for; 0 is 10 s.
	Idle time.Duration

	mu    sync.Mutex
	kept  []keep // the one kept longest first
	bytes int
	timer *time.Timer // not nil while something is kept
}

// A keep is a segment that the pool has a reference to.
type keep struct {
	seg   *segment.Segment
	since time.Time
	claim func() bool // nil: it is free
}

var shared Pool

// Shared returns the pool of the process.
func Shared() *Pool { return &shared }

// Class returns the size of the segment that Get makes for n bytes, its tail
// apart: at most an eighth more than n, and at least a page.
func Class(n int) int {
	const least = 4096
	if n <= least {
		return least
	}
	step := max(least, 1<<(bits.Len(uint(n-1))-4))
	return (n + step - 1) / step * step
}

// Get returns a segment with room for n bytes and a tail; the reference is the
// caller's. It prefers the one used last, which the processor's caches know best.
func (p *Pool) Get(n int) (*segment.Segment, error) {
	class := Class(n)
	if s := p.take(class); s != nil {
		return s, nil
	}
	s, err := segment.New("tristrand payload", class+TailBytes)
	if err != nil {
		// What is kept may be just what is missing.
		p.Trim()
		if s, err = segment.New("tristrand payload", class+TailBytes); err != nil {
			return nil, err
		}
	}
	s.Populate()
	return s, nil
}

// Tail returns the tail of a segment from a pool.
func Tail(s *segment.Segment) []byte { return s.Bytes()[s.Size()-TailBytes:] }

// take returns a segment that is kept, of the class or up to half as large again.
func (p *Pool) take(class int) *segment.Segment {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, most := range [...]int{class, class + class/2} {
		for i, k := range slices.Backward(p.kept) {
			size := k.seg.Size() - TailBytes
			if size < class || size > most || k.claim != nil && !k.claim() {
				continue
			}
			p.kept = slices.Delete(p.kept, i, i+1)
			p.bytes -= k.seg.Size()
			return k.seg
		}
	}
	return nil
}

// Put takes the caller's reference to s, which nobody uses any more, in this
// process or another.
func (p *Pool) Put(s *segment.Segment) { p.keep(keep{seg: s}) }

// Lend makes the pool keep a reference of its own to s, which may be in use.
// claim is called, at most until it returns true, to ask whether the use has
// ended and to begin another one; it must be quick and must not use the pool.
// For a segment that is lent already the time that it is kept for begins anew.
func (p *Pool) Lend(s *segment.Segment, claim func() bool) {
	s.Retain()
	p.keep(keep{seg: s, claim: claim})
}

func (p *Pool) keep(k keep) {
	k.since = time.Now()
	p.mu.Lock()
	defer p.release(p.drop) // unlocks
	if i := slices.IndexFunc(p.kept, func(o keep) bool { return o.seg == k.seg }); i >= 0 {
		p.kept = slices.Delete(p.kept, i, i+1)
		p.bytes -= k.seg.Size()
		defer k.seg.Release() // two references to the same
	}
	p.kept = append(p.kept, k)
	p.bytes += k.seg.Size()
	if p.timer == nil {
		p.timer = time.AfterFunc(p.idle(), p.sweep)
	}
}

// drop takes out what is over the bound, the longest kept first.
func (p *Pool) drop() (n int) {
	bound := p.MaxBytes
	if bound == 0 {
		bound = defaultMaxBytes
	}
	for over := p.bytes; n < len(p.kept) && over > bound; n++ {
		over -= p.kept[n].seg.Size()
	}
	return n
}

// expired is the number of those that were kept for long enough.
func (p *Pool) expired() (n int) {
	last := time.Now().Add(-p.idle())
	for n < len(p.kept) && !p.kept[n].since.After(last) {
		n++
	}
	return n
}

// release gives up the first of kept, as many as count says, and unlocks mu:
// unmapping takes its time.
func (p *Pool) release(count func() int) {
	n := count()
	gone := slices.Clone(p.kept[:n])
	p.kept = slices.Delete(p.kept, 0, n)
	for _, k := range gone {
		p.bytes -= k.seg.Size()
	}
	p.mu.Unlock()
	for _, k := range gone {
		k.seg.Release()
	}
}

// sweep is the timer's.
func (p *Pool) sweep() {
	p.mu.Lock()
	defer p.release(func() int {
		n := p.expired()
		if n == len(p.kept) {
			p.timer = nil
		} else {
			p.timer.Reset(time.Until(p.kept[n].since.Add(p.idle())))
		}
		return n
	})
}

// Trim gives up all that is kept. What is lent stays with those who use it.
func (p *Pool) Trim() {
	p.mu.Lock()
	defer p.release(func() int {
		if p.timer != nil {
			p.timer.Stop()
			p.timer = nil
		}
		return len(p.kept)
	})
}

func (p *Pool) idle() time.Duration {
	if p.Idle == 0 {
		return defaultIdle
	}
	return p.Idle
}

// Kept returns how many segments the pool keeps and their bytes.
func (p *Pool) Kept() (segments, bytes int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.kept), p.bytes
}
