//go:build unix

package launch

import (
	"errors"
	"io"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// An output is the pipes of one child; with inherit it has none.
type output struct {
	inherit bool
	r, w    [2]int // of standard output and error; -1 once closed
}

// buffers are what output passes through on its way from a pipe.
var buffers = sync.Pool{New: func() any { return new([64 << 10]byte) }}

func (l *Launcher) pipes(c *Command) (*output, error) {
	o := &output{r: [2]int{-1, -1}, w: [2]int{-1, -1}}
	if c.Stdout == nil && c.Stderr == nil {
		o.inherit = true
		return o, nil
	}
	for i := range o.r {
		var p [2]int
		if err := pipe(&p); err != nil {
			o.close()
			return nil, os.NewSyscallError("pipe", err)
		}
		o.r[i], o.w[i] = p[0], p[1]
	}
	return o, nil
}

func (o *output) childStdout() uintptr {
	if o.inherit {
		return os.Stdout.Fd()
	}
	return uintptr(o.w[0])
}

func (o *output) childStderr() uintptr {
	if o.inherit {
		return os.Stderr.Fd()
	}
	return uintptr(o.w[1])
}

func closeAll(fds *[2]int) {
	for i, fd := range fds {
		if fd >= 0 {
			_ = unix.Close(fd) // a pipe: nothing is flushed
			fds[i] = -1
		}
	}
}

func (o *output) closeWriters() { closeAll(&o.w) }

func (o *output) close() {
	closeAll(&o.w)
	closeAll(&o.r)
}

const (
	tick = time.Second     // how often a child's process is looked at while its pipes are open
	held = 5 * time.Second // how long they may stay open without it before that is told
)

// collect takes the output until both pipes are closed by all who had them. The
// error is that of a writer, or errHeld.
func (l *Launcher) collect(c *Command, p *process, o *output) error {
	if o.inherit {
		return nil
	}
	fds := [3]unix.PollFd{
		{Fd: int32(o.r[0]), Events: unix.POLLIN},
		{Fd: int32(o.r[1]), Events: unix.POLLIN},
		{Fd: -1}, // its end is seen without being asked for
	}
	if l.Watch != nil {
		fds[2].Fd = int32(l.Watch.Fd())
	}
	to := [2]io.Writer{c.Stdout, c.Stderr}
	var ended time.Time
	for fds[0].Fd >= 0 || fds[1].Fd >= 0 {
		n, err := unix.Poll(fds[:], int(tick/time.Millisecond))
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return os.NewSyscallError("poll", err)
		case n == 0:
			if p.lost() {
				return errHeld
			}
			ended = l.tell(c, p, ended)
			continue
		}
		for i := range to {
			if fds[i].Revents == 0 {
				continue
			}
			more, err := pour(o.r[i], to[i])
			if err != nil {
				return err
			}
			if !more {
				fds[i].Fd = -1
			}
			fds[i].Revents = 0
		}
		if fds[2].Revents&(unix.POLLERR|unix.POLLHUP) != 0 {
			fds[2] = unix.PollFd{Fd: -1}
			if l.Hangup != nil {
				l.hungUp.Do(l.Hangup)
			}
		}
	}
	return nil
}

// tell notes when the child ended, and says so once if its output stays open.
func (l *Launcher) tell(c *Command, p *process, ended time.Time) time.Time {
	switch {
	case ended.IsZero():
		if exited(p.pid) {
			return time.Now()
		}
	case l.Held != nil && time.Since(ended) > held && time.Since(ended) <= held+tick:
		l.Held(c)
	}
	return ended
}

// pour moves what is in a pipe to w. It returns false at the pipe's end.
func pour(fd int, w io.Writer) (bool, error) {
	buf := buffers.Get().(*[64 << 10]byte)
	defer buffers.Put(buf)
	for {
		n, err := syscall.Read(fd, buf[:])
		switch {
		case errors.Is(err, syscall.EINTR):
			continue
		case err != nil:
			return false, os.NewSyscallError("read", err)
		case n == 0:
			return false, nil
		}
		if w == nil {
			return true, nil
		}
		_, err = w.Write(buf[:n])
		return true, err
	}
}
