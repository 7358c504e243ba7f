//go:build unix

package selector

import (
	"errors"
	"math"
	"os"
	"slices"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// A waker is a pipe that Select waits for too.
type waker struct {
	r, w  int
	asked atomic.Bool // by Wake
}

func (w *waker) open() error {
	var p [2]int
	if err := unix.Pipe(p[:]); err != nil {
		return os.NewSyscallError("pipe", err)
	}
	w.r, w.w = p[0], p[1]
	for _, fd := range p {
		unix.CloseOnExec(fd)
		if err := unix.SetNonblock(fd, true); err != nil {
			return errors.Join(os.NewSyscallError("fcntl", err), w.close())
		}
	}
	return nil
}

func (w *waker) fd() int { return w.r }

func (w *waker) wake() { _, _ = unix.Write(w.w, []byte{0}) } // a full pipe wakes as well

func (w *waker) drain() {
	var buf [64]byte
	for {
		if n, err := unix.Read(w.r, buf[:]); n < len(buf) || err != nil {
			return
		}
	}
}

func (w *waker) close() error { return errors.Join(unix.Close(w.r), unix.Close(w.w)) }

func open(kind Kind) (backend, error) {
	switch kind {
	case Select:
		return &selecting{}, nil
	case Poll:
		return &polling{}, nil
	case Epoll:
		return openEpoll()
	default:
		return nil, errors.New("selector: want Default, Select, Poll or Epoll")
	}
}

// polling is poll(2).
type polling struct {
	fds  []unix.PollFd
	copy []unix.PollFd // what the wait has
}

func (p *polling) set(fd int, _, now Event) error {
	i := slices.IndexFunc(p.fds, func(x unix.PollFd) bool { return int(x.Fd) == fd })
	switch {
	case fd > math.MaxInt32:
		return unix.EBADF
	case now == 0 && i >= 0:
		p.fds = slices.Delete(p.fds, i, i+1)
	case now == 0:
	case i >= 0:
		p.fds[i].Events = pollEvents(now)
	default:
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != nil {
			return err
		}
		p.fds = append(p.fds, unix.PollFd{Fd: int32(fd), Events: pollEvents(now)})
	}
	return nil
}

func pollEvents(e Event) (bits int16) {
	if e&Read != 0 {
		bits |= unix.POLLIN
	}
	if e&Write != 0 {
		bits |= unix.POLLOUT
	}
	return bits
}

func (p *polling) prepare() { p.copy = append(p.copy[:0], p.fds...) }

func (p *polling) wait(block bool, ready []Ready) ([]Ready, error) {
	timeout := 0
	if block {
		timeout = -1
	}
	for {
		_, err := unix.Poll(p.copy, timeout)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return nil, os.NewSyscallError("poll", err)
		}
		break
	}
	for _, f := range p.copy {
		if f.Revents != 0 {
			ready = append(ready, Ready{FD: int(f.Fd), Events: readyFor(f.Revents&unix.POLLIN != 0, f.Revents&unix.POLLOUT != 0, f.Revents&^(unix.POLLIN|unix.POLLOUT) != 0)})
		}
	}
	return ready, nil
}

func (p *polling) close() error { return nil }

// readyFor returns what a descriptor is ready for; one in trouble for everything.
func readyFor(in, out, trouble bool) (e Event) {
	if in || trouble {
		e |= Read
	}
	if out || trouble {
		e |= Write
	}
	return e
}

// selecting is select(2).
type selecting struct {
	read, write         unix.FdSet
	highest             int
	readCopy, writeCopy unix.FdSet
	copyHighest         int
	all                 map[int]Event
	fds                 []int // of the copy
}

func (s *selecting) set(fd int, old, now Event) error {
	if fd >= unix.FD_SETSIZE {
		return ErrTooLarge
	}
	if old == 0 && now != 0 {
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != nil {
			return err
		}
	}
	s.read.Clear(fd)
	s.write.Clear(fd)
	if now&Read != 0 {
		s.read.Set(fd)
	}
	if now&Write != 0 {
		s.write.Set(fd)
	}
	if s.all == nil {
		s.all = make(map[int]Event)
	}
	if now == 0 {
		delete(s.all, fd)
	} else {
		s.all[fd] = now
	}
	s.highest = 0
	for fd := range s.all {
		s.highest = max(s.highest, fd)
	}
	return nil
}

func (s *selecting) prepare() {
	s.readCopy, s.writeCopy, s.copyHighest = s.read, s.write, s.highest
	s.fds = s.fds[:0]
	for fd := range s.all {
		s.fds = append(s.fds, fd)
	}
	slices.Sort(s.fds)
}

func (s *selecting) wait(block bool, ready []Ready) ([]Ready, error) {
	var timeout *unix.Timeval
	if !block {
		timeout = &unix.Timeval{}
	}
	for {
		read, write := s.readCopy, s.writeCopy
		_, err := unix.Select(s.copyHighest+1, &read, &write, nil, timeout)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EBADF):
			return s.broken(ready), nil
		case err != nil:
			return nil, os.NewSyscallError("select", err)
		}
		for _, fd := range s.fds {
			if e := readyFor(read.IsSet(fd), write.IsSet(fd), false); e != 0 {
				ready = append(ready, Ready{FD: fd, Events: e})
			}
		}
		return ready, nil
	}
}

// broken returns the descriptors that were closed while they are registered: as
// with poll they are ready, so that the caller finds out.
func (s *selecting) broken(ready []Ready) []Ready {
	for _, fd := range s.fds {
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != nil {
			ready = append(ready, Ready{FD: fd, Events: Read | Write})
		}
	}
	return ready
}

func (s *selecting) close() error { return nil }
