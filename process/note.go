package process

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tristrand/tristrand/internal/segment"
	"github.com/tristrand/tristrand/internal/wire"
)

// What a note says.
const (
	noteHello   = iota + 1 // worker: it is ready; or Fault says why it is not
	noteConfig             // pool: who the worker is and what to do first
	noteLane               // pool: the lane, with its descriptor
	noteSegment            // either: a segment, with its descriptor
	noteFile               // either: a file, with its descriptor
	noteForget             // either: the segment is not needed any more
	noteCancel             // pool: the job Seq shall stop, with Cause
	noteStop               // pool: end when the jobs that were sent are done
	noteMemory             // worker: N bytes are resident
	noteTaken              // pool: the result in the segment was read
)

// Why a job shall stop.
const (
	causeCancel   = iota + 1 // Future.Cancel, Close, Terminate
	causeTimeout             // its time is up
	causeCanceled            // the ctx of Submit was cancelled
	causeDeadline            // the ctx of Submit has a deadline, which has passed
)

// A note is a message beside the rings, which data cannot hold up: it may bring a
// descriptor.
type note struct {
	Op     int     `cbor:"1,keyasint"`
	Seq    uint64  `cbor:"2,keyasint,omitempty"`
	Key    []byte  `cbor:"3,keyasint,omitempty"`
	N      int     `cbor:"4,keyasint,omitempty"`
	Text   string  `cbor:"5,keyasint,omitempty"`
	Fault  *fault  `cbor:"6,keyasint,omitempty"`
	Config *config `cbor:"7,keyasint,omitempty"`
}

// The kinds of workers.
const (
	kindWorker  = "worker"
	kindProcess = "process"
)

// A config is what a worker is told first.
type config struct {
	Name   string        `cbor:"1,keyasint"`
	Kind   string        `cbor:"2,keyasint"`           // "worker" or "process"
	Task   string        `cbor:"3,keyasint,omitempty"` // to be run first
	Input  []byte        `cbor:"4,keyasint,omitempty"`
	Raw    bool          `cbor:"5,keyasint,omitempty"`
	Placed bool          `cbor:"7,keyasint,omitempty"` // the input is in a segment
	Left   time.Duration `cbor:"8,keyasint,omitempty"` // until the deadline of a process
	Meta   []byte        `cbor:"9,keyasint,omitempty"` // what travels with its ctx
	Sample time.Duration `cbor:"6,keyasint,omitempty"` // how often to tell its memory; 0 is never
}

// rightsBytes is room for one descriptor beside a note, and for more than that, so that
// they are seen, and closed.
var rightsBytes = unix.CmsgSpace(8 * 4)

// maxNote bounds a note: it fits into the socket's buffer as one packet.
const maxNote = 64 << 10

// A post sends and receives notes over a socket that keeps their borders. Notes may be
// sent by many goroutines, and received by one.
type post struct {
	conn *net.UnixConn
	mu   sync.Mutex // guards buf
	buf  bytes.Buffer
}

// newPost makes a post of a socket, which it owns.
func newPost(f *os.File) (*post, error) {
	defer func() { _ = f.Close() }() // FileConn has a descriptor of its own
	c, err := net.FileConn(f)
	if err != nil {
		return nil, err
	}
	u, ok := c.(*net.UnixConn)
	if !ok {
		_ = c.Close()
		return nil, fmt.Errorf("process: %T is no unix socket", c)
	}
	return &post{conn: u}, nil
}

// send sends a note, with a descriptor if fd ≥ 0. It waits while the other side does
// not read: callers set a bound by closing the post of one that is gone.
func (p *post) send(n note, fd int) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.buf.Reset()
	if err := wire.Encode(&p.buf, &n); err != nil {
		return err
	}
	if p.buf.Len() > maxNote {
		return fmt.Errorf("process: a note of %d bytes; it can have %d", p.buf.Len(), maxNote)
	}
	var rights []byte
	if fd >= 0 {
		rights = unix.UnixRights(fd)
	}
	_, _, err := p.conn.WriteMsgUnix(p.buf.Bytes(), rights, nil)
	return err
}

// receive returns the next note, and the descriptor that came with it or -1, which is
// the caller's. A peer that is gone is io.EOF.
func (p *post) receive(buf, rights []byte) (n note, fd int, err error) {
	size, size2, flags, _, err := p.conn.ReadMsgUnix(buf, rights)
	fd = -1
	if size2 > 0 {
		fds, parseErr := parseRights(rights[:size2])
		for i, x := range fds {
			if i == 0 {
				fd = x
			} else {
				_ = unix.Close(x) // only one is ever sent
			}
		}
		err = errors.Join(err, parseErr)
	}
	switch {
	case err != nil:
	case size == 0:
		err = io.EOF
	case flags&unix.MSG_CTRUNC != 0:
		err = errors.New("process: a descriptor was lost on its way: this process has too many open (ulimit -n)")
	case flags&unix.MSG_TRUNC != 0:
		err = fmt.Errorf("process: a note of more than %d bytes", len(buf))
	default:
		err = wire.Decode(buf[:size], &n)
	}
	if err != nil && fd >= 0 {
		_ = unix.Close(fd)
		fd = -1
	}
	return n, fd, err
}

func parseRights(b []byte) ([]int, error) {
	msgs, err := unix.ParseSocketControlMessage(b)
	if err != nil {
		return nil, err
	}
	var all []int
	for i := range msgs {
		fds, err := unix.ParseUnixRights(&msgs[i])
		if err != nil {
			continue // credentials and such
		}
		all = append(all, fds...)
	}
	for _, fd := range all {
		unix.CloseOnExec(fd)
	}
	return all, nil
}

// socketPair returns two ends of a socket that keeps the borders of messages.
func socketPair() (a, b *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, nil, os.NewSyscallError("socketpair", err)
	}
	return os.NewFile(uintptr(fds[0]), "tristrand"), os.NewFile(uintptr(fds[1]), "tristrand"), nil
}

// streamPair returns two ends of a socket that is a stream.
func streamPair() (a, b *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, nil, os.NewSyscallError("socketpair", err)
	}
	return os.NewFile(uintptr(fds[0]), "pipe"), os.NewFile(uintptr(fds[1]), "pipe"), nil
}

func isBroken(err error) bool { return errors.Is(err, unix.EPIPE) || errors.Is(err, unix.ECONNRESET) }

func keyOf(b []byte) (k segment.Key, err error) {
	if len(b) != len(k) {
		return k, fmt.Errorf("process: a key of %d bytes: %w", len(b), errFrame)
	}
	return segment.Key(b), nil
}

// sendFile sends a note with the descriptor of f.
func (p *post) sendFile(n note, f *os.File) error {
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var sendErr error
	if err := conn.Control(func(fd uintptr) { sendErr = p.send(n, int(fd)) }); err != nil {
		return err
	}
	return sendErr
}

// duplicate returns a descriptor of its own for the open file of f.
func duplicate(f *os.File) (*os.File, error) {
	conn, err := f.SyscallConn()
	if err != nil {
		return nil, err
	}
	fd, dupErr := -1, error(nil)
	if err := conn.Control(func(p uintptr) { fd, dupErr = unix.FcntlInt(p, unix.F_DUPFD_CLOEXEC, 0) }); err != nil {
		return nil, err
	}
	if dupErr != nil {
		return nil, os.NewSyscallError("fcntl", dupErr)
	}
	return os.NewFile(uintptr(fd), f.Name()), nil
}

func closeFD(fd int) {
	if fd >= 0 {
		_ = unix.Close(fd)
	}
}
