//go:build unix

package child

import (
	"errors"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// readOnce takes in what one read gives. now says not to wait: io.EOF then also
// means that nothing is there.
func (k *sink) readOnce(now bool) (n int, err error) {
	raw, err := k.file.SyscallConn()
	if err != nil {
		return 0, err
	}
	attempt := func(fd uintptr) bool {
		buf := buffers.Get().(*[readBytes]byte)
		defer buffers.Put(buf)
		for {
			if n, err = unix.Read(int(fd), buf[:]); !errors.Is(err, unix.EINTR) {
				break
			}
		}
		if errors.Is(err, unix.EAGAIN) {
			return false
		}
		if n > 0 {
			k.take(buf[:n])
		}
		return true
	}
	if now {
		if cerr := raw.Control(func(fd uintptr) { _ = attempt(fd) }); cerr != nil {
			return 0, cerr
		}
	} else if rerr := raw.Read(attempt); rerr != nil {
		if errors.Is(rerr, os.ErrDeadlineExceeded) {
			return 0, rerr
		}
		return 0, io.EOF
	}
	if err == nil && n == 0 {
		return 0, io.EOF
	}
	return max(n, 0), err
}

// wait ends the reading of a dead child's stream: a deadline in the past wakes
// whoever waits for more.
func (k *sink) wait() bool {
	_ = k.file.SetReadDeadline(time.Unix(1, 0))
	<-k.over
	return true
}

// reportAtEnd: nobody reads the report while the child lives. The child's end
// does not block, so a crash that fills the pipe loses its end, which is not
// kept anyway.
const reportAtEnd = true
