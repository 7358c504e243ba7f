package process

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// rightsBytes is room for one descriptor beside a note, and for more than that, so that
// they are seen, and closed.
var rightsBytes = unix.CmsgSpace(8 * 4)

// A socket is a post that keeps the borders of notes, and that descriptors can go
// through.
type socket struct {
	conn *net.UnixConn
	mu   sync.Mutex // guards buf
	buf  bytes.Buffer
}

// newSocket makes a post of a socket, which it owns.
func newSocket(f *os.File) (post, error) {
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
	return &socket{conn: u}, nil
}

func (p *socket) send(n note, fd int) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.buf.Reset()
	if err := n.encode(&p.buf); err != nil {
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

func (p *socket) receive(r *room) (n note, fd int, err error) {
	if r.data == nil {
		r.data, r.rights = make([]byte, maxNote), make([]byte, rightsBytes)
	}
	buf, rights := r.data, r.rights
	size, size2, flags, _, err := p.conn.ReadMsgUnix(buf, rights)
	if isBroken(err) { // it ended without having read all; what it sent before that is still to come
		size, size2, flags, _, err = p.conn.ReadMsgUnix(buf, rights)
	}
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
	case isBroken(err):
		err = io.EOF
	case err != nil:
	case size == 0:
		err = io.EOF
	case flags&unix.MSG_CTRUNC != 0:
		err = errors.New("process: a descriptor was lost on its way: this process has too many open (ulimit -n)")
	case flags&unix.MSG_TRUNC != 0:
		err = fmt.Errorf("process: a note of more than %d bytes", len(buf))
	default:
		n, err = decodeNote(buf[:size])
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

func (p *socket) Close() error { return p.conn.Close() }

func (p *socket) sendFile(n note, f *os.File) error {
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
