package process

import (
	"errors"
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
