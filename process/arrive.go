package process

import (
	"fmt"
	"os"
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
	closed bool
}

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
		err := parcel.Put(key, os.NewFile(uintptr(fd), "from another process"))
		a.signal()
		return err
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

func (a *arrivals) signal() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.came.Broadcast()
}

func (a *arrivals) forget(key segment.Key) {
	a.mu.Lock()
	s := a.held[key]
	delete(a.held, key)
	a.mu.Unlock()
	if s != nil {
		s.Release()
	}
}

// await returns a segment, with a reference for the caller, or nil if it does not come
// because the peer is gone, or within a time that only a faulty one needs.
func (a *arrivals) await(key segment.Key) *segment.Segment {
	const patience = 10 * time.Second
	if s := segment.Lookup(key); s != nil {
		return s
	}
	late := time.AfterFunc(patience, a.signal)
	defer late.Stop()
	began := time.Now()
	a.mu.Lock()
	defer a.mu.Unlock()
	for {
		if s := segment.Lookup(key); s != nil {
			return s
		}
		if a.closed || time.Since(began) >= patience {
			return nil
		}
		a.came.Wait()
	}
}

// close releases what is held; nothing comes any more.
func (a *arrivals) close() {
	a.mu.Lock()
	a.closed = true
	held := a.held
	a.held = nil
	a.came.Broadcast()
	a.mu.Unlock()
	for _, s := range held {
		s.Release()
	}
}
