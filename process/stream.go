package process

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tristrand/tristrand/internal/futex"
	"github.com/tristrand/tristrand/internal/segment"
)

// A stream is a post over two pipes, for systems, and sandboxes, where processes share no
// memory. No descriptor goes through it; frames go as notes.
type stream struct {
	in, out *os.File
	mu      sync.Mutex // guards buf
	buf     bytes.Buffer
}

func newStream(in, out *os.File) post { return &stream{in: in, out: out} }

func (p *stream) send(n note, fd int) error {
	if fd >= 0 {
		return errNoDescriptors
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.buf.Reset()
	p.buf.Write(make([]byte, 8))
	if err := n.encode(&p.buf); err != nil {
		return err
	}
	b := p.buf.Bytes()
	binary.LittleEndian.PutUint64(b, uint64(len(b)-8))
	_, err := p.out.Write(b)
	return err
}

var errNoDescriptors = fmt.Errorf("process: no shared memory or file can go to another process here: %w", errors.ErrUnsupported)

func (p *stream) sendFile(note, *os.File) error { return errNoDescriptors }

func (p *stream) receive(r *room) (n note, fd int, err error) {
	var head [8]byte
	if _, err := io.ReadFull(p.in, head[:]); err != nil {
		return n, -1, io.EOF // whatever it is, the peer is gone
	}
	size := binary.LittleEndian.Uint64(head[:])
	if size > maxMessage {
		return n, -1, fmt.Errorf("process: a note of %d bytes; %d can be received", size, maxMessage)
	}
	var buf bytes.Buffer
	if _, err := io.CopyN(&buf, p.in, int64(size)); err != nil {
		return n, -1, io.EOF
	}
	n, err = decodeNote(buf.Bytes())
	return n, -1, err
}

func (p *stream) Close() error { return errors.Join(p.in.Close(), p.out.Close()) }

// shares reports whether processes can share memory here, and hand each other
// descriptors.
var shares = sync.OnceValue(func() bool {
	if !futex.Supported || os.Getenv("TRISTRAND_TRANSPORT") == "pipes" {
		return false
	}
	s, err := segment.New("tristrand probe", 4096)
	if err != nil {
		return !errors.Is(err, errors.ErrUnsupported) // it may be for now only
	}
	s.Release()
	return true
})

// postPair returns this process's end of a post, and the files for the child's.
func postPair() (ours post, theirs []*os.File, err error) {
	if shares() {
		a, b, err := socketPair()
		if err != nil {
			return nil, nil, err
		}
		if ours, err = newSocket(a); err != nil {
			return nil, nil, errors.Join(err, b.Close())
		}
		return ours, []*os.File{b}, nil
	}
	down, toChild, err := os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	fromChild, up, err := os.Pipe()
	if err != nil {
		return nil, nil, errors.Join(err, down.Close(), toChild.Close())
	}
	return newStream(fromChild, toChild), []*os.File{down, up}, nil
}

// postOf returns the child's end.
func postOf(files []*os.File) (post, error) {
	switch len(files) {
	case 1:
		return newSocket(files[0])
	case 2:
		return newStream(files[0], files[1]), nil
	default:
		return nil, fmt.Errorf("process: a worker was started with %d files: parent and worker are not of the same binary", len(files))
	}
}

func closeFiles(files []*os.File) {
	for _, f := range files {
		_ = f.Close() // duplicates
	}
}

// A sender and a receiver are the two ends of a lane: rings, or notes.
type sender interface {
	Reserve(n int) ([]byte, error)
	Commit(n int)
	Wake()
	WakeWaiting()
	WaitRoom(d time.Duration)
}

type receiver interface {
	Next() (frame []byte, ok bool, err error)
	Advance()
	Wait(d time.Duration)
	Linger(d time.Duration)
	Poke()
	Stop()
}

// notes is a sender over an outbox, or directly over a post: what a worker has said
// then survives it.
type notes struct {
	out    *outbox
	direct post
	frame  []byte
}

func (s *notes) Reserve(n int) ([]byte, error) {
	s.frame = make([]byte, n)
	return s.frame, nil
}

func (s *notes) Commit(n int) {
	frame := note{Op: noteFrame, Body: s.frame[:n]}
	if s.direct != nil {
		_ = s.direct.send(frame, -1) // when it fails the pool is gone, and so is this process, soon
		return
	}
	s.out.leave(frame)
}

// Wake sends what has been committed.
func (s *notes) Wake() {
	if s.out != nil {
		s.out.flush()
	}
}

func (s *notes) WakeWaiting()           {}
func (s *notes) WaitRoom(time.Duration) {}

// A mailbox is a receiver of frames that come as notes.
type mailbox struct {
	frames  chan []byte
	stop    chan struct{}
	stopped atomic.Bool
	now     []byte
}

func newMailbox() *mailbox {
	return &mailbox{frames: make(chan []byte, 2*slots), stop: make(chan struct{})}
}

// put adds a frame; it is dropped when nobody will take it.
func (m *mailbox) put(frame []byte) {
	select {
	case m.frames <- frame:
	case <-m.stop:
	}
}

func (m *mailbox) Next() ([]byte, bool, error) {
	if m.now == nil {
		select {
		case m.now = <-m.frames:
		default:
		}
	}
	return m.now, m.now != nil, nil
}

func (m *mailbox) Advance() { m.now = nil }

// Wait is for ever, whatever d says.
func (m *mailbox) Wait(time.Duration) {
	if m.now != nil {
		return
	}
	select {
	case m.now = <-m.frames:
	case <-m.stop:
	}
}

// Linger is Wait.
func (m *mailbox) Linger(d time.Duration) { m.Wait(d) }

// Poke does nothing: nobody but the reader waits for a mailbox.
func (m *mailbox) Poke() {}

func (m *mailbox) Stop() {
	if !m.stopped.Swap(true) {
		close(m.stop)
	}
}
