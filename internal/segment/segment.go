// Package segment shares memory between processes: it makes sealed memory files,
// maps them, and knows which of them this process has mapped.
//
// A [Segment] is named by a [Key] that is the same in every process. Whoever
// makes one sends its descriptor beside the key; the receiver calls [Adopt],
// and from then on [Lookup] finds the segment there.
//
// # Lifetime
//
// A Segment is counted: [New], [Adopt], [Lookup] and [Segment.Retain] add a
// reference, and the last [Segment.Release] unmaps and closes it. What
// [Segment.Bytes] returned must not be touched afterwards: that is a fault of
// memory, which ends the process. The memory itself is the system's, and is free
// once no process has the segment mapped or its descriptor open, however they
// ended. It has no name in any file system, so nothing can be left behind.
//
// # Trust
//
// A segment cannot shrink or grow after it was made: its seals say so, and Adopt
// refuses one without them, so that no process can make another's access a fault.
// What the bytes hold is another matter: every process that has the segment can
// change them at any time, so copy before checking.
//
// # Limits
//
// Linux only: elsewhere, and where a sandbox forbids it, [New] and [Adopt] return
// [ErrUnsupported]. The memory counts against the control group of the process
// that made the segment. Each segment takes a descriptor.
package segment

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
)

// ErrUnsupported is for a system, or a sandbox, without sealed memory files. It
// is also errors.ErrUnsupported.
var ErrUnsupported = fmt.Errorf("this system shares no memory between processes (it needs Linux with memfd_create): %w", errors.ErrUnsupported)

// A Key names a segment in every process. It is random, so that none can be
// guessed.
type Key [16]byte

// NewKey returns a key that no other has.
func NewKey() (k Key) {
	_, _ = rand.Read(k[:]) // it never fails
	return k
}

func (k Key) String() string { return hex.EncodeToString(k[:]) }

// A Segment is memory mapped here that other processes may have mapped as well.
type Segment struct {
	key  Key
	fd   int
	mem  []byte
	made bool // by New, here

	populated atomic.Bool

	// Guarded by table.mu; 0 is closed.
	refs    int
	onClose []func()
}

// table knows the segments mapped here, so that no segment is mapped twice.
var table struct {
	mu  sync.Mutex
	all map[Key]*Segment
}

// New makes a segment of size bytes, all zero, and maps it. All of its memory is
// taken at once, so that too little of it is an error here and no fault later;
// that costs about a microsecond a KiB. name is shown in /proc/PID/maps.
func New(name string, size int) (*Segment, error) {
	if size <= 0 {
		return nil, fmt.Errorf("segment %q of %d bytes: the size must be above 0", name, size)
	}
	fd, mem, err := create(name, size)
	if err != nil {
		return nil, fmt.Errorf("segment %q of %d bytes: %w", name, size, err)
	}
	s := &Segment{key: NewKey(), fd: fd, mem: mem, made: true, refs: 1}
	table.mu.Lock()
	defer table.mu.Unlock()
	s.enter()
	return s, nil
}

// NewSparse is New without taking the memory: each page is taken at its first
// access, so a large size costs address space only. Too little memory shows only
// then; ask Room before something large is put in.
func NewSparse(name string, size int) (*Segment, error) {
	if size <= 0 {
		return nil, fmt.Errorf("segment %q of %d bytes: the size must be above 0", name, size)
	}
	fd, mem, err := reserve(name, size)
	if err != nil {
		return nil, fmt.Errorf("segment %q of %d bytes: %w", name, size, err)
	}
	s := &Segment{key: NewKey(), fd: fd, mem: mem, made: true, refs: 1}
	table.mu.Lock()
	defer table.mu.Unlock()
	s.enter()
	return s, nil
}

// Room returns an error if the machine has not size bytes of memory to give. It
// does not look if size is small.
func Room(size int) error { return room(size) }

// Punch gives the memory of a part of the segment back to the system, for all
// processes; what was in it is zero then. Both ends must be at pages.
func (s *Segment) Punch(from, to int) error {
	if err := punch(s.fd, from, to); err != nil {
		return fmt.Errorf("segment %v: %w", s.key, err)
	}
	return nil
}

// Adopt maps the segment that has come as fd, under the key that came with it. It
// owns fd whatever it returns. If the key is known here it returns that segment
// with one more reference, and an error if fd is not the same memory. It refuses
// what is not a memory file sealed against shrinking and growing.
func Adopt(key Key, fd int) (*Segment, error) {
	table.mu.Lock()
	defer table.mu.Unlock()
	if s := table.all[key]; s != nil {
		same, err := sameFile(s.fd, fd)
		closeFD(fd)
		switch {
		case err != nil:
			return nil, fmt.Errorf("segment %v came again: %w", key, err)
		case !same:
			return nil, fmt.Errorf("segment %v came again with other memory: its sender is at fault", key)
		}
		s.refs++
		return s, nil
	}
	mem, err := receive(fd)
	if err != nil {
		closeFD(fd)
		return nil, fmt.Errorf("segment %v that came from another process: %w", key, err)
	}
	s := &Segment{key: key, fd: fd, mem: mem, refs: 1}
	s.enter()
	return s, nil
}

func (s *Segment) enter() {
	if table.all == nil {
		table.all = map[Key]*Segment{}
	}
	table.all[s.key] = s
}

// Lookup returns the segment that key names, with one more reference, or nil if
// it is not mapped here.
func Lookup(key Key) *Segment {
	table.mu.Lock()
	defer table.mu.Unlock()
	s := table.all[key]
	if s != nil {
		s.refs++
	}
	return s
}

// Count returns how many segments are mapped here and how many bytes they have.
func Count() (segments, bytes int) {
	table.mu.Lock()
	defer table.mu.Unlock()
	for _, s := range table.all {
		bytes += len(s.mem)
	}
	return len(table.all), bytes
}

// Key returns the name of the segment.
func (s *Segment) Key() Key { return s.key }

// FD returns the descriptor, to be sent to another process. It is open as long as
// the caller holds a reference, and stays the segment's.
func (s *Segment) FD() int { return s.fd }

// Bytes returns the memory, as long as the caller holds a reference. It begins
// at the beginning of a page.
func (s *Segment) Bytes() []byte { return s.mem }

// Size returns the number of bytes.
func (s *Segment) Size() int { return len(s.mem) }

// Made reports whether the segment was made in this process.
func (s *Segment) Made() bool { return s.made }

// Populate makes all of the memory ready for access from here, which otherwise
// happens a page at a time at the first access, slower. Again it costs nothing.
func (s *Segment) Populate() {
	if s.populated.CompareAndSwap(false, true) {
		populate(s.mem)
	}
}

// Retain adds a reference to those that the caller knows of.
func (s *Segment) Retain() {
	table.mu.Lock()
	defer table.mu.Unlock()
	if s.refs <= 0 {
		panic(fmt.Sprintf("tristrand: bug: segment %v is retained after its last release", s.key))
	}
	s.refs++
}

// Release gives up a reference. The last one unmaps the memory, closes the
// descriptor, and calls what OnClose was given.
func (s *Segment) Release() {
	table.mu.Lock()
	if s.refs <= 0 {
		table.mu.Unlock()
		panic(fmt.Sprintf("tristrand: bug: segment %v is released more often than it was retained", s.key))
	}
	s.refs--
	if s.refs > 0 {
		table.mu.Unlock()
		return
	}
	delete(table.all, s.key)
	told := s.onClose
	s.onClose = nil
	mem := s.mem
	s.mem = nil
	table.mu.Unlock()
	unmap(mem)
	closeFD(s.fd)
	for _, fn := range told {
		fn()
	}
}

// OnClose has fn called when the segment is closed here, on the goroutine of the
// last Release; at once if it is. It is for who remembers to whom it was sent.
func (s *Segment) OnClose(fn func()) {
	table.mu.Lock()
	closed := s.refs <= 0
	if !closed {
		s.onClose = append(s.onClose, fn)
	}
	table.mu.Unlock()
	if closed {
		fn()
	}
}
