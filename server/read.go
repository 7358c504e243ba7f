package server

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
	"net"
	"os"
	"sync"
	"syscall"
)

// Sizes of the buffers: for lines and records, and for copying.
const (
	lineBufferBytes = 4 << 10
	copyBufferBytes = 32 << 10
)

var (
	lineBuffers = sync.Pool{New: func() any { return new([lineBufferBytes]byte) }}
	copyBuffers = sync.Pool{New: func() any { return new([copyBufferBytes]byte) }}
)

// reading is what a Conn knows about reading. Its buffer is borrowed from a pool
// while there is something in it.
type reading struct {
	lent any    // the pool's
	buf  []byte // what was read and not yet taken

	ready func(fd uintptr) bool // c.readReady, once
	n     int                   // its results
	err   error
	big   bool
	begun bool // the time for the message that the next byte is of runs
}

// Read reads what has come, at least one byte. The wait for it is bounded by
// IdleTimeout.
func (c *Conn) Read(p []byte) (int, error) {
	for len(p) > 0 {
		if len(c.reading.buf) > 0 {
			n := copy(p, c.reading.buf)
			c.took(n)
			c.reading.begun = false
			return n, nil
		}
		if !c.core.quick || c.level.Load() != levelOpen {
			if err := c.clock.armFirst(c); err != nil {
				return 0, err
			}
		}
		n, err := c.conn.Read(p)
		if n > 0 {
			c.readBytes.Add(uint64(n))
			return n, nil
		}
		if err == nil {
			continue // an empty TLS record
		}
		if err = c.readFailed(err, true); err != nil {
			c.isEOF(err)
			return 0, err
		}
	}
	return 0, nil
}

// took takes n bytes from the buffer, and gives it back when it is empty.
func (c *Conn) took(n int) {
	r := &c.reading
	r.buf = r.buf[n:]
	if len(r.buf) == 0 {
		c.release()
	}
}

func (c *Conn) release() {
	r := &c.reading
	switch b := r.lent.(type) {
	case *[lineBufferBytes]byte:
		lineBuffers.Put(b)
	case *[copyBufferBytes]byte:
		copyBuffers.Put(b)
	}
	r.lent, r.buf = nil, nil
}

// borrow returns a buffer, which becomes the connection's by keep.
func borrow(big bool) (lent any, buf []byte) {
	if big {
		b, _ := copyBuffers.Get().(*[copyBufferBytes]byte)
		return b, b[:]
	}
	b, _ := lineBuffers.Get().(*[lineBufferBytes]byte)
	return b, b[:]
}

// fill waits for bytes and puts them into the buffer, which must be empty. first
// says that a message begins with them.
func (c *Conn) fill(first, big bool) error {
	for {
		arm := c.clock.armRest
		if first {
			arm = c.clock.armFirst
		}
		if err := arm(c); err != nil {
			return err
		}
		err := c.fillOnce(big)
		if err == nil {
			c.readBytes.Add(uint64(len(c.reading.buf)))
			return nil
		}
		if err = c.readFailed(err, first); err != nil {
			c.isEOF(err)
			return err
		}
		if len(c.reading.buf) > 0 {
			return nil
		}
	}
}

func (c *Conn) fillOnce(big bool) error {
	r := &c.reading
	if c.raw == nil {
		if s, ok := c.conn.(syscall.Conn); ok && canReadRaw {
			raw, err := s.SyscallConn()
			if err != nil {
				return err
			}
			c.raw, r.ready = raw, c.readReady
		}
	}
	if c.raw == nil { // TLS, a datagram, a foreign net.Conn
		lent, buf := borrow(big)
		n, err := c.conn.Read(buf)
		if n > 0 {
			r.lent, r.buf = lent, buf[:n]
			return nil
		}
		r.lent = lent
		c.release()
		return err
	}
	r.n, r.err, r.big = 0, nil, big
	if err := c.raw.Read(r.ready); err != nil {
		return err
	}
	switch {
	case r.err != nil:
		return &net.OpError{Op: "read", Net: c.remote.Network(), Source: c.local, Addr: c.remote, Err: os.NewSyscallError("read", r.err)}
	case r.n == 0:
		return io.EOF
	}
	return nil
}

// readReady reads once. With nothing there it gives the buffer back before the
// wait.
func (c *Conn) readReady(fd uintptr) bool {
	r := &c.reading
	lent, buf := borrow(r.big)
	n, err := readRaw(fd, buf)
	if n > 0 {
		r.n, r.lent, r.buf = n, lent, buf[:n]
		return true
	}
	r.lent = lent
	c.release()
	if errors.Is(err, syscall.EAGAIN) {
		return false
	}
	r.n, r.err = 0, err
	return true
}

// readNow reads what has already come, past a deadline: when the server drains,
// nothing that has arrived is left unread. Both results are zero if there is
// nothing.
func (c *Conn) readNow(p []byte) (n int, err error) {
	s, ok := c.conn.(syscall.Conn)
	if !ok || !canReadRaw {
		return 0, nil
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return 0, err
	}
	var readErr error
	if err := raw.Control(func(fd uintptr) { n, readErr = readRaw(fd, p) }); err != nil {
		return 0, err
	}
	switch {
	case errors.Is(readErr, syscall.EAGAIN):
		return 0, nil
	case readErr != nil:
		return 0, readErr
	case n == 0:
		return 0, io.EOF
	}
	c.readBytes.Add(uint64(n))
	return n, nil
}

// Peek waits for n bytes at most, 4096 being the most that there can be, and
// returns them without taking them: fewer with the error that ended the wait. They
// are good until the next read.
func (c *Conn) Peek(n int) ([]byte, error) {
	n = min(n, lineBufferBytes)
	r := &c.reading
	for len(r.buf) < n {
		if len(r.buf) == 0 {
			if err := c.fill(true, false); err != nil {
				return nil, err
			}
			c.begins()
			continue
		}
		c.begins()
		held := bytes.Clone(r.buf)
		c.release()
		err := c.fill(false, false)
		joined := make([]byte, 0, len(held)+len(r.buf))
		joined = append(append(joined, held...), r.buf...)
		c.release()
		r.buf = joined
		if err != nil {
			return r.buf, err
		}
	}
	return r.buf[:n], nil
}

// begins starts the time for the rest of a message of which there is something, unless it
// runs. What came with the message before counts from when somebody asks for it.
func (c *Conn) begins() {
	if !c.reading.begun {
		c.reading.begun = true
		c.clock.begin(c)
	}
}

// ReadLine reads a line and returns it without its end, which is "\n" or "\r\n".
// Text that the client ends instead of a line is the last one; after it comes
// [io.EOF]. The wait for its first byte is bounded by IdleTimeout, the rest by
// ReadTimeout, however slowly it comes. A line above MaxLineBytes is
// [ErrLineTooLong].
func (c *Conn) ReadLine() (string, error) {
	r := &c.reading
	limit := c.core.conf.MaxLineBytes
	var held []byte
	for {
		if i := bytes.IndexByte(r.buf, '\n'); i >= 0 {
			if len(held)+i > limit {
				return "", ErrLineTooLong
			}
			var line string
			if held == nil {
				line = string(bytes.TrimSuffix(r.buf[:i], carriageReturn))
			} else {
				held = append(held, r.buf[:i]...)
				line = string(bytes.TrimSuffix(held, carriageReturn))
			}
			c.took(i + 1)
			r.begun = false
			return line, nil
		}
		if len(held)+len(r.buf) > limit {
			return "", ErrLineTooLong
		}
		first := len(held) == 0 && len(r.buf) == 0
		if !first {
			c.begins()
		}
		held = append(held, r.buf...)
		c.release()
		switch err := c.fill(first, false); {
		case err == nil:
			if first {
				c.begins()
			}
		case errors.Is(err, io.EOF) && len(held) > 0:
			return string(held), nil
		default:
			return "", err
		}
	}
}

var carriageReturn = []byte{'\r'}

// Lines yields lines until the client ends its sending side; an error comes last.
func (c *Conn) Lines() iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for {
			line, err := c.ReadLine()
			if errors.Is(err, io.EOF) {
				return
			}
			if !yield(line, err) || err != nil {
				return
			}
		}
	}
}

// ReadRecord reads what WriteRecord writes: four bytes with the length, the
// highest first, and so many bytes. The client's end between two records is
// [io.EOF], within one [io.ErrUnexpectedEOF]. The time-outs are those of ReadLine. A
// length above MaxRecordBytes is [ErrRecordTooLong]; memory is taken as the bytes
// come, not as the length promises.
func (c *Conn) ReadRecord() ([]byte, error) {
	var head [4]byte
	if err := c.readFull(head[:], true); err != nil {
		return nil, err
	}
	size := binary.BigEndian.Uint32(head[:])
	if int64(size) > int64(c.core.conf.MaxRecordBytes) {
		return nil, fmt.Errorf("%w: %d bytes, at most %d", ErrRecordTooLong, size, c.core.conf.MaxRecordBytes)
	}
	defer func() { c.reading.begun = false }()
	record := make([]byte, 0, min(int(size), 64<<10))
	for len(record) < int(size) {
		n := min(int(size)-len(record), max(len(record), 64<<10))
		record = append(record, make([]byte, n)...)
		if err := c.readFull(record[len(record)-n:], false); err != nil {
			return nil, err
		}
	}
	return record, nil
}

// readFull fills p. first says that a message begins with it.
func (c *Conn) readFull(p []byte, first bool) error {
	for n := 0; n < len(p); {
		if len(c.reading.buf) == 0 {
			err := c.fill(first && n == 0, len(p) >= copyBufferBytes)
			if errors.Is(err, io.EOF) && (!first || n > 0) {
				return io.ErrUnexpectedEOF
			}
			if err != nil {
				return err
			}
		}
		c.begins()
		m := copy(p[n:], c.reading.buf)
		c.took(m)
		n += m
	}
	return nil
}

// WriteTo writes all that the client sends to w until it ends its sending side.
// Unlike io.Copy with a buffer it holds none while it waits.
func (c *Conn) WriteTo(w io.Writer) (total int64, err error) {
	for {
		if len(c.reading.buf) == 0 {
			switch err := c.fill(true, true); {
			case errors.Is(err, io.EOF):
				return total, nil
			case err != nil:
				return total, err
			}
		}
		c.reading.begun = false
		n, err := w.Write(c.reading.buf)
		total += int64(n)
		c.took(n)
		if err != nil {
			return total, err
		}
	}
}
