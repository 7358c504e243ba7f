package process

import (
	"errors"
	"io"
	"syscall"

	"golang.org/x/sys/unix"
)

// Waiting returns how many bytes have come to this end and were not received.
func (c *Conn[T]) Waiting() (n int, err error) {
	conn, err := c.use()
	if err != nil {
		return 0, err
	}
	raw, err := conn.(syscall.Conn).SyscallConn()
	if err != nil {
		return 0, err
	}
	var ioctl error
	err = raw.Control(func(fd uintptr) { n, ioctl = unix.IoctlGetInt(int(fd), unix.SIOCINQ) })
	return n, errors.Join(err, ioctl)
}

// Sent returns how many jobs the workers have, and how many one of them may have.
func (p *Pool) Sent() (held, depth int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.held, p.depth
}

// WakeTheDead wakes a worker whose lane is gone, and one who waited for it, as whoever
// has found either a moment before it was reaped does.
func WakeTheDead() error {
	w := &worker{p: new(Pool), name: "dead"}
	if err := w.layLane(); err != nil {
		return err
	}
	f := w.newFetching()
	w.unwoken.Store(true)
	w.dropLane()
	w.wake()
	f.block.Wake()
	return nil
}

// LastWord returns what is received of a note whose sender has ended, with a note
// unread that was sent to it.
func LastWord() (body string, err error) {
	ours, theirs, err := postPair()
	if err != nil {
		return "", err
	}
	defer ours.Close()
	worker, err := postOf(theirs)
	if err != nil {
		return "", err
	}
	err = errors.Join(ours.send(note{Op: noteCancel}, -1), worker.send(note{Op: noteFrame, Body: []byte("the last")}, -1), worker.Close())
	if err != nil {
		return "", err
	}
	var r room
	n, _, err := ours.receive(&r)
	if err == nil {
		if _, _, err = ours.receive(&r); errors.Is(err, io.EOF) {
			err = nil
		}
	}
	return string(n.Body), err
}
