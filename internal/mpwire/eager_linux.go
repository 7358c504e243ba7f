package mpwire

import (
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// An eager reader waits for a little while in the kernel for what comes next,
// before it leaves the waiting to Go's poller: a client that calls again at once
// then costs the server two system calls instead of two and a turn of the
// scheduler, which burns more processor time than the call itself. Only few at a
// time do so, because each keeps a processor of the Go runtime; and one that has
// waited in vain leaves it for a while.
type eager struct {
	raw  syscall.RawConn
	cold int // how many waits to leave to the poller
}

const (
	eagerWait = 500 * time.Microsecond
	eagerSkip = 8
)

// waiting counts those that wait in the kernel.
var waiting atomic.Int32

// Eager returns a reader of c, which may be c itself, for the side of a
// connection that waits for calls.
func Eager(c net.Conn) io.Reader {
	s, ok := c.(syscall.Conn)
	if !ok {
		return c
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return c
	}
	return &eager{raw: raw}
}

// Read reads what there is, and waits until there is something.
func (e *eager) Read(b []byte) (n int, err error) {
	if len(b) == 0 {
		return 0, nil
	}
	var failed error
	err = e.raw.Read(func(fd uintptr) bool {
		e.linger(int(fd)) // first: there is hardly ever something already
		n, failed = readNow(int(fd), b)
		return !errors.Is(failed, unix.EAGAIN)
	})
	switch {
	case err != nil:
		return 0, err
	case failed != nil:
		return 0, os.NewSyscallError("read", failed)
	case n == 0:
		return 0, io.EOF
	}
	return n, nil
}

func readNow(fd int, b []byte) (int, error) {
	for {
		n, err := unix.Read(fd, b)
		if !errors.Is(err, unix.EINTR) {
			return max(n, 0), err
		}
	}
}

// linger waits in the kernel, if it may, until something comes.
func (e *eager) linger(fd int) {
	if e.cold > 0 {
		e.cold--
		return
	}
	if int(waiting.Add(1)) < runtime.GOMAXPROCS(0) {
		t := unix.NsecToTimespec(int64(eagerWait))
		if n, err := unix.Ppoll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, &t, nil); err != nil || n == 0 {
			e.cold = eagerSkip
		}
	}
	waiting.Add(-1)
}
