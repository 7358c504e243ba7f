package process

import (
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/tristrand/tristrand/internal/parcel"
	"github.com/tristrand/tristrand/internal/segment"
)

// An arrivals keeps the segments that have come from one peer, until it says that they
// are not needed any more, and lets others wait for one that is on its way: the
// descriptor comes beside the frame that speaks of it.
type arrivals struct {
	mu     sync.Mutex
	came   *sync.Cond
	held   map[segment.Key]*segment.Segment
	files  []segment.Key // those that came, some of which were taken
	marked uint64        // the last mark that came
	closed bool
	heldUp func() bool // whether the peer is stopped; nil is never
}

// maxFiles bounds the files of a peer that nobody has taken, so that it does not use up
// the room of all.
const maxFiles = parcel.MaxFiles / 4

// maxHeld bounds the segments that a peer can make this process keep.
const maxHeld = 1 << 14

func newArrivals() *arrivals {
	a := &arrivals{held: make(map[segment.Key]*segment.Segment)}
	a.came = sync.NewCond(&a.mu)
	return a
}

// take acts on a note that brings something, or says that it is not needed any more.
// It owns fd.
func (a *arrivals) take(n note, fd int) error {
	if n.Op == noteMark {
		closeFD(fd)
		a.mu.Lock()
		defer a.mu.Unlock()
		a.marked = n.Seq
		a.came.Broadcast()
		return nil
	}
	key, err := keyOf(n.Key)
	if err != nil {
		closeFD(fd)
		return err
	}
	switch n.Op {
	case noteSegment:
		return a.segment(key, fd)
	case noteFile:
		if fd < 0 {
			return fmt.Errorf("process: a note of a file without one: %w", errFrame)
		}
		return a.file(key, os.NewFile(uintptr(fd), "from another process"))
	default:
		closeFD(fd)
		a.forget(key)
		return nil
	}
}

func (a *arrivals) segment(key segment.Key, fd int) error {
	if fd < 0 {
		return fmt.Errorf("process: a note of a segment without one: %w", errFrame)
	}
	s, err := segment.Adopt(key, fd)
	if err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed || a.held[key] != nil || len(a.held) >= maxHeld {
		defer s.Release()
		if len(a.held) >= maxHeld {
			return fmt.Errorf("process: more than %d segments came from one process", maxHeld)
		}
		return nil
	}
	a.held[key] = s
	a.came.Broadcast()
	return nil
}

// file keeps a file until it is taken, or not needed any more.
func (a *arrivals) file(key segment.Key, f *os.File) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.files) >= maxFiles {
		a.files = slices.DeleteFunc(a.files, func(k segment.Key) bool { return !parcel.Has(k) })
	}
	if a.closed || len(a.files) >= maxFiles {
		_ = f.Close() // nobody can want it
		if len(a.files) >= maxFiles {
			return fmt.Errorf("process: more than %d files came from one process and were not taken", maxFiles)
		}
		return nil
	}
	a.files = append(a.files, key)
	return parcel.Put(key, f)
}

func (a *arrivals) signal() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.came.Broadcast()
}

func (a *arrivals) forget(key segment.Key) {
	a.mu.Lock()
	s := a.held[key]
	delete(a.held, key)
	if i := slices.Index(a.files, key); i >= 0 {
		a.files = slices.Delete(a.files, i, i+1)
		_ = parcel.Drop(key) // a descriptor of our own
	}
	a.mu.Unlock()
	if s != nil {
		s.Release()
	}
}

// await returns a segment, with a reference for the caller, or nil if it does not come.
func (a *arrivals) await(key segment.Key) (s *segment.Segment) {
	a.until(func() bool {
		s = segment.Lookup(key)
		return s != nil
	})
	return s
}

// reached waits until a mark, and so what was sent before it, has come, and returns
// whether it has.
func (a *arrivals) reached(mark uint64) bool {
	return a.until(func() bool { return a.marked >= mark })
}

// until waits until ok is true, which is called with mu held. It returns false if that
// does not happen because the peer is gone, or within a time that only a faulty one
// needs: one that is stopped has longer, and so has one whose peer, this process, was
// stopped.
func (a *arrivals) until(ok func() bool) bool {
	const step, steps = 500 * time.Millisecond, 20
	a.mu.Lock()
	defer a.mu.Unlock()
	if ok() {
		return true
	}
	late := time.AfterFunc(step, a.signal)
	defer late.Stop()
	for began, left := time.Now(), steps; !a.closed && left > 0; {
		a.came.Wait()
		if ok() {
			return true
		}
		if time.Since(began) >= step {
			if a.heldUp == nil || !a.heldUp() {
				left--
			}
			began = time.Now()
			late.Reset(step)
		}
	}
	return false
}

// end says that nothing comes any more, so that nobody waits.
func (a *arrivals) end() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.closed = true
	a.came.Broadcast()
}

// close is end that also releases what is held.
func (a *arrivals) close() {
	a.end()
	a.mu.Lock()
	held := a.held
	a.held = nil
	for _, key := range a.files {
		_ = parcel.Drop(key) // a descriptor of our own
	}
	a.files = nil
	a.mu.Unlock()
	for _, s := range held {
		s.Release()
	}
}
