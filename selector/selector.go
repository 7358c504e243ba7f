// Package selector waits for many descriptors at once, by select, poll or epoll
// behind one type, as Python's selectors does.
//
// [New] makes a [Selector] of a [Kind]. [Selector.Register] names a descriptor, what to wait for
// ([Read], [Write]) and a value to find it by; [Selector.Select] waits until some are ready. A
// descriptor is ready as long as the call would not block (level-triggered); one
// whose peer has hung up, or that is broken, is ready for all that it was
// registered for, so that the call tells.
//
// It is for loops of one's own, for descriptors that the Go runtime does not
// poll, and for learning what an event loop costs; package server and plain net
// need none.
//
// # Costs
//
// Select holds a thread of the operating system while it waits. A wait of select
// or poll costs time in proportion to the descriptors registered, one of epoll to
// those that are ready.
//
// # Other systems
//
//	select, poll   Unix systems
//	epoll          Linux
//
// What a system lacks is [ErrUnsupported].
package selector

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
)

// What a caller may branch on, with errors.Is.
var (
	// ErrUnsupported says that the system lacks the kind.
	ErrUnsupported = fmt.Errorf("selector: not on this system: %w", errors.ErrUnsupported)

	ErrRegistered    = errors.New("selector: the descriptor is registered already; Modify changes it")
	ErrNotRegistered = errors.New("selector: the descriptor is not registered")
	ErrClosed        = errors.New("selector: it is closed")
	ErrInUse         = errors.New("selector: another goroutine is in Select")

	// ErrTooLarge says that select cannot hold a descriptor of 1024 or more.
	ErrTooLarge = errors.New("selector: select knows descriptors below 1024 only: use Poll or Epoll")
)

// Kind is a system call to wait with.
type Kind int

// The kinds.
const (
	Default Kind = iota // the best that the system has
	Select              // select(2), for descriptors below 1024
	Poll                // poll(2)
	Epoll               // epoll(7)
)

func (k Kind) String() string {
	names := [...]string{"default", "select", "poll", "epoll"}
	if k < 0 || int(k) >= len(names) {
		return fmt.Sprintf("selector.Kind(%d)", int(k))
	}
	return names[k]
}

// Event is what to wait for; events are joined with |.
type Event uint8

// The events.
const (
	Read  Event = 1 << iota // a read would not block
	Write                   // a write would not block
)

func (e Event) String() string {
	var all []string
	if e&Read != 0 {
		all = append(all, "read")
	}
	if e&Write != 0 {
		all = append(all, "write")
	}
	if len(all) == 0 {
		return "nothing"
	}
	return strings.Join(all, "+")
}

// Ready is a descriptor that is ready.
type Ready struct {
	FD     int
	Events Event // of those that it is registered for
	Data   any   // as registered
}

// A Selector waits for descriptors. Its methods may be called from any goroutine,
// Select by one at a time; a descriptor that is registered while Select waits
// counts at once. It does not own the descriptors: unregister one before you close
// it.
type Selector struct {
	kind    Kind
	backend backend
	waker   waker

	mu      sync.Mutex // guards the rest
	keys    map[int]key
	waiting bool
	changed bool // since the backend was asked
	closed  bool
}

type key struct {
	events Event
	data   any
}

// A backend waits with one system call.
type backend interface {
	set(fd int, old, now Event) error // 0: not registered
	// wait appends what is ready; block false looks only. A descriptor whose events
	// are all ready whatever they are has Read|Write.
	wait(block bool, ready []Ready) ([]Ready, error)
	prepare() // called under the selector's mutex before each wait
	close() error
}

// New makes a selector. It fails with [ErrUnsupported] where the system lacks the
// kind, and for lack of descriptors.
func New(kind Kind) (*Selector, error) {
	s := &Selector{kind: kind, keys: make(map[int]key)}
	if kind == Default {
		s.kind = best
	}
	var err error
	if s.backend, err = open(s.kind); err != nil {
		return nil, fmt.Errorf("%v: %w", s.kind, err)
	}
	if err := s.waker.open(); err != nil {
		return nil, errors.Join(err, s.backend.close())
	}
	if err := s.backend.set(s.waker.fd(), 0, Read); err != nil {
		return nil, errors.Join(err, s.waker.close(), s.backend.close())
	}
	return s, nil
}

// Kind returns the kind, never Default.
func (s *Selector) Kind() Kind { return s.kind }

// Register has Select wait for events of fd. Epoll takes no regular files, which
// are always ready.
func (s *Selector) Register(fd int, events Event, data any) error {
	return s.change(fd, events, data, func(old Event) error {
		if old != 0 {
			return ErrRegistered
		}
		return nil
	})
}

// Modify changes what fd is registered with.
func (s *Selector) Modify(fd int, events Event, data any) error {
	return s.change(fd, events, data, func(old Event) error {
		if old == 0 {
			return ErrNotRegistered
		}
		return nil
	})
}

func (s *Selector) change(fd int, events Event, data any, allow func(old Event) error) error {
	if events == 0 || events&^(Read|Write) != 0 {
		return fmt.Errorf("selector: descriptor %d: events %#x: want Read, Write or both", fd, uint8(events))
	}
	if fd < 0 {
		return fmt.Errorf("selector: %d is no descriptor", fd)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return ErrClosed
	}
	old := s.keys[fd].events
	if err := allow(old); err != nil {
		return fmt.Errorf("descriptor %d: %w", fd, err)
	}
	if old != events {
		if err := s.backend.set(fd, old, events); err != nil {
			return fmt.Errorf("selector: descriptor %d: %w", fd, err)
		}
	}
	s.keys[fd] = key{events, data}
	s.stir()
	return nil
}

// Unregister has Select forget fd, which may be closed by now.
func (s *Selector) Unregister(fd int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	old, ok := s.keys[fd]
	switch {
	case s.closed:
		return ErrClosed
	case !ok:
		return fmt.Errorf("descriptor %d: %w", fd, ErrNotRegistered)
	}
	delete(s.keys, fd)
	_ = s.backend.set(fd, old.events, 0) // it fails for one that was closed, which the kernel has forgotten
	s.stir()
	return nil
}

// stir has a Select that waits look again. s.mu is held.
func (s *Selector) stir() {
	s.changed = true
	if s.waiting {
		s.waker.wake()
	}
}

// Lookup returns what fd is registered with.
func (s *Selector) Lookup(fd int) (events Event, data any, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k, ok := s.keys[fd]
	return k.events, k.data, ok
}

// Len returns how many descriptors are registered.
func (s *Selector) Len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.keys)
}

// Select waits until a descriptor is ready, and returns those that are. The end of
// ctx ends the wait with its error; Wake ends it with none ready; Close with
// [ErrClosed].
func (s *Selector) Select(ctx context.Context) ([]Ready, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if ctx.Done() != nil {
		defer context.AfterFunc(ctx, s.waker.wake)()
	}
	return s.wait(true, ctx.Err)
}

// TrySelect returns the descriptors that are ready now.
func (s *Selector) TrySelect() ([]Ready, error) {
	return s.wait(false, func() error { return nil })
}

// Wake ends a Select that waits, or the next one.
func (s *Selector) Wake() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.waker.asked.Store(true)
		s.waker.wake()
	}
}

func (s *Selector) wait(block bool, ended func() error) ([]Ready, error) {
	if err := s.enter(); err != nil {
		return nil, err
	}
	defer s.leave()
	for {
		s.mu.Lock()
		s.changed = false
		s.backend.prepare()
		s.mu.Unlock()
		ready, err := s.backend.wait(block, nil)
		if err != nil {
			return nil, fmt.Errorf("selector: %v: %w", s.kind, err)
		}
		ready, woken := s.sort(ready)
		switch {
		case len(ready) > 0 || !block:
			return ready, nil
		case ended() != nil:
			return nil, ended()
		case s.isClosed():
			return nil, ErrClosed
		case woken:
			return nil, nil
		}
	}
}

func (s *Selector) enter() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
		return ErrClosed
	case s.waiting:
		return ErrInUse
	}
	s.waiting = true
	return nil
}

func (s *Selector) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waiting = false
	if s.closed {
		_ = s.release() // Close has returned
	}
}

func (s *Selector) isClosed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}

// sort puts the data to what is ready, and takes the waker out.
func (s *Selector) sort(ready []Ready) (kept []Ready, woken bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	kept = ready[:0]
	for _, r := range ready {
		if r.FD == s.waker.fd() {
			s.waker.drain()
			woken = s.waker.asked.Swap(false)
			continue
		}
		k, ok := s.keys[r.FD]
		if r.Events &= k.events; !ok || r.Events == 0 {
			continue
		}
		r.Data = k.data
		kept = append(kept, r)
	}
	return kept, woken
}

// Close ends the selector, and a Select that waits.
func (s *Selector) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return ErrClosed
	}
	s.closed = true
	if s.waiting {
		s.waker.wake() // it releases on its way out
		return nil
	}
	return s.release()
}

func (s *Selector) release() error { return errors.Join(s.waker.close(), s.backend.close()) }
