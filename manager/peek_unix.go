//go:build unix

package manager

import (
	"errors"
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// A peeker looks whether a connection that nobody reads is still there.
type peeker struct {
	raw   syscall.RawConn
	look  func(fd uintptr) bool // made once
	lives bool
	buf   [1]byte
}

// newPeeker returns nil where that cannot be seen without reading.
func newPeeker(c net.Conn) *peeker {
	sc, ok := c.(syscall.Conn)
	if !ok {
		return nil
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return nil
	}
	p := &peeker{raw: raw}
	p.look = func(fd uintptr) bool {
		for {
			n, _, err := unix.Recvfrom(int(fd), p.buf[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
			if p.lives = n > 0 || errors.Is(err, unix.EAGAIN); !errors.Is(err, unix.EINTR) {
				return true
			}
		}
	}
	return p
}

// gone reports whether the peer has hung up. It is for one at a time.
func (p *peeker) gone() bool {
	err := p.raw.Read(p.look)
	return err != nil || !p.lives
}
