package server

import (
	"errors"
	"os"
	"sync/atomic"
	"time"
)

// A clock keeps the time-outs of a connection. The kernel's deadline is set again
// only when it would be early, or late by more than an eighth of the time-out:
// a busy connection sets it seldom.
type clock struct {
	read  int64 // as it is set, in unix nanoseconds; only the reader knows it
	write int64
	bound int64 // of the message that is being read

	userRead, userWrite atomic.Int64 // set by SetDeadline and the like, unix nanoseconds
	stale               atomic.Bool  // what read and write say is no longer so
	lastWrite           atomic.Int64
}

// SetDeadline is SetReadDeadline and SetWriteDeadline.
func (c *Conn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

// SetReadDeadline bounds reads, beside the server's time-outs, for the handler's
// own purposes; zero does not. Reads then fail with os.ErrDeadlineExceeded.
func (c *Conn) SetReadDeadline(t time.Time) error {
	c.clock.userRead.Store(nanos(t))
	err := c.conn.SetReadDeadline(t)
	c.clock.stale.Store(true)
	if l := c.level.Load(); l >= levelStop {
		return c.sock.SetReadDeadline(longAgo)
	}
	return err
}

// SetWriteDeadline is SetReadDeadline for writes.
func (c *Conn) SetWriteDeadline(t time.Time) error {
	c.clock.userWrite.Store(nanos(t))
	return c.conn.SetWriteDeadline(t)
}

func nanos(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return max(t.UnixNano(), 1)
}

// armFirst bounds the wait for the first byte of a message.
func (k *clock) armFirst(c *Conn) error {
	level := c.level.Load()
	if level >= levelStop {
		return ErrServerClosed
	}
	d := c.core.conf.first()
	if idle := c.core.conf.DrainIdle; level == levelDrain && idle > 0 && (d <= 0 || idle < d) {
		d = idle
	}
	if d <= 0 {
		return nil
	}
	now := time.Now()
	return k.arm(c, now.Add(d).UnixNano(), now.Add(d+d/8).UnixNano())
}

// begin starts the time for the rest of a message.
func (k *clock) begin(c *Conn) {
	if d := c.core.conf.ReadTimeout; d > 0 {
		k.bound = time.Now().Add(d).UnixNano()
	}
}

// armRest bounds the wait for the rest of a message.
func (k *clock) armRest(c *Conn) error {
	if l := c.level.Load(); l >= levelStop {
		return ErrServerClosed
	}
	if c.core.conf.ReadTimeout <= 0 {
		return nil
	}
	return k.arm(c, k.bound, k.bound)
}

// arm sets the deadline unless it is between least and most already.
func (k *clock) arm(c *Conn, least, most int64) error {
	user := k.userRead.Load()
	if user != 0 && user < most {
		least, most = user, user
	}
	if !k.stale.Swap(false) && c.level.Load() == levelOpen && k.read >= least && k.read <= most {
		return nil
	}
	k.read = most
	if err := c.sock.SetReadDeadline(time.Unix(0, most)); err != nil {
		return err
	}
	// Whoever raised the level set a deadline, before this one or after it.
	if c.level.Load() >= levelStop {
		return ErrServerClosed
	}
	return nil
}

// readFailed says what a failed read means for the handler; nil is to try again.
func (c *Conn) readFailed(err error, first bool) error {
	level := c.level.Load()
	if level >= levelStop {
		return ErrServerClosed
	}
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		return err
	}
	k, conf, now := &c.clock, &c.core.conf, time.Now()
	k.read = 0
	user := k.userRead.Load()
	if user != 0 && user <= now.UnixNano() {
		return err
	}
	if level == levelDrain && first && conf.DrainIdle > 0 {
		return c.drained()
	}
	if !first {
		if conf.ReadTimeout > 0 && now.UnixNano() >= k.bound {
			return ErrReadTimeout
		}
		return c.rearm(user)
	}
	d := conf.first()
	if d <= 0 {
		return c.rearm(user)
	}
	if last := k.lastWrite.Load(); last != 0 && now.Sub(time.Unix(0, last)) < d {
		return nil // it is the client that is sent to: armFirst sets it anew
	}
	if conf.IdleTimeout > 0 {
		return ErrIdleTimeout
	}
	return ErrReadTimeout
}

// rearm puts the user's deadline, or none, in place of one that the shutdown set
// and that does not concern this read.
func (c *Conn) rearm(user int64) error {
	t := time.Time{}
	if user != 0 {
		t = time.Unix(0, user)
	}
	if err := c.sock.SetReadDeadline(t); err != nil {
		return err
	}
	if c.level.Load() >= levelStop {
		return ErrServerClosed
	}
	return nil
}

// drained is for a reader that waited for a message while the server drained. It
// goes on only with what has come in the meantime.
func (c *Conn) drained() error {
	lent, buf := borrow(false)
	n, err := c.readNow(buf)
	if n > 0 {
		c.reading.lent, c.reading.buf = lent, buf[:n]
		if err := c.sock.SetReadDeadline(time.Now().Add(c.core.conf.DrainIdle)); err != nil {
			return err
		}
		if c.level.Load() >= levelStop {
			_ = c.sock.SetReadDeadline(longAgo)
		}
		return nil
	}
	c.reading.lent = lent
	c.release()
	if err != nil {
		return err
	}
	return ErrServerClosed
}
