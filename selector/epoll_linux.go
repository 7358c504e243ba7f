package selector

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

const best = Epoll

// epolling is epoll(7).
type epolling struct {
	fd  int
	buf [256]unix.EpollEvent
}

func openEpoll() (backend, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	return &epolling{fd: fd}, nil
}

func (e *epolling) set(fd int, old, now Event) error {
	op := unix.EPOLL_CTL_MOD
	switch {
	case old == 0:
		op = unix.EPOLL_CTL_ADD
	case now == 0:
		op = unix.EPOLL_CTL_DEL
	}
	ev := unix.EpollEvent{Fd: int32(fd)} //nolint:gosec // a descriptor fits
	if now&Read != 0 {
		ev.Events |= unix.EPOLLIN
	}
	if now&Write != 0 {
		ev.Events |= unix.EPOLLOUT
	}
	err := os.NewSyscallError("epoll_ctl", unix.EpollCtl(e.fd, op, fd, &ev))
	if errors.Is(err, unix.EPERM) {
		return fmt.Errorf("a regular file is always ready, and none that epoll takes: %w", err)
	}
	return err
}

func (e *epolling) prepare() {}

func (e *epolling) wait(block bool, ready []Ready) ([]Ready, error) {
	timeout := 0
	if block {
		timeout = -1
	}
	for {
		n, err := unix.EpollWait(e.fd, e.buf[:], timeout)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return nil, os.NewSyscallError("epoll_wait", err)
		}
		for _, ev := range e.buf[:n] {
			ready = append(ready, Ready{FD: int(ev.Fd), Events: readyFor(ev.Events&unix.EPOLLIN != 0,
				ev.Events&unix.EPOLLOUT != 0, ev.Events&^(unix.EPOLLIN|unix.EPOLLOUT) != 0)})
		}
		return ready, nil
	}
}

func (e *epolling) close() error { return os.NewSyscallError("close", unix.Close(e.fd)) }
