package server

import (
	"encoding/binary"
	"errors"
	"io"
	"math"
	"net"
	"os"
	"time"
)

// Pieces that a WriteTimeout is for: a long Write to a slow client is not cut as
// long as it moves.
const (
	writePieceBytes = 256 << 10
	sendPieceBytes  = 1 << 20 // of a file, by the kernel
)

// Write writes all of p; nothing is buffered. A client that does not read makes it
// wait, for WriteTimeout at most. Each Write to the sender of a datagram is one
// datagram.
func (c *Conn) Write(p []byte) (int, error) {
	if c.core.conf.WriteTimeout <= 0 { // the short way, which takes little stack
		n, err := c.conn.Write(p)
		c.wrote(int64(n))
		if err != nil {
			err = c.writeFailed(err)
		}
		return n, err
	}
	return c.writePieces(p)
}

func (c *Conn) writePieces(p []byte) (int, error) {
	if len(p) <= writePieceBytes || c.datagram() {
		return c.writePiece(p)
	}
	total := 0
	for len(p) > 0 {
		n, err := c.writePiece(p[:min(len(p), writePieceBytes)])
		total += n
		if err != nil {
			return total, err
		}
		p = p[n:]
	}
	return total, nil
}

func (c *Conn) writePiece(p []byte) (int, error) {
	if err := c.clock.armWrite(c); err != nil {
		return 0, err
	}
	n, err := c.conn.Write(p)
	c.wrote(int64(n))
	if err != nil {
		err = c.writeFailed(err)
	}
	return n, err
}

func (c *Conn) wrote(n int64) {
	c.writtenBytes.Add(uint64(n))
	if n > 0 && !c.core.quick {
		c.clock.lastWrite.Store(time.Now().UnixNano())
	}
}

// armWrite bounds a write.
func (k *clock) armWrite(c *Conn) error {
	d := c.core.conf.WriteTimeout
	if d <= 0 {
		return nil
	}
	now := time.Now()
	least, most := now.Add(d).UnixNano(), now.Add(d+d/8).UnixNano()
	if user := k.userWrite.Load(); user != 0 && user < most {
		least, most = user, user
	}
	if k.write >= least && k.write <= most {
		return nil
	}
	k.write = most
	return c.conn.SetWriteDeadline(time.Unix(0, most))
}

// writeFailed says what a failed write means for the handler.
func (c *Conn) writeFailed(err error) error {
	if c.level.Load() >= levelCut {
		return ErrServerClosed
	}
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		return err
	}
	if user := c.clock.userWrite.Load(); user != 0 && user <= time.Now().UnixNano() {
		return err
	}
	return ErrWriteTimeout
}

// WriteString is Write for a string.
func (c *Conn) WriteString(s string) (int, error) { return c.Write([]byte(s)) }

// WriteLine writes the line and "\n", in one Write.
func (c *Conn) WriteLine(line string) error {
	lent, buf := borrow(false)
	defer func() { lineBuffers.Put(lent) }()
	_, err := c.Write(append(append(buf[:0], line...), '\n'))
	return err
}

// WriteRecord writes what ReadRecord reads: the length in four bytes, the highest
// first, and the bytes.
func (c *Conn) WriteRecord(record []byte) error {
	if uint64(len(record)) > math.MaxUint32 {
		return ErrRecordTooLong
	}
	if len(record) <= copyBufferBytes-4 || c.datagram() {
		lent, buf := borrow(true)
		defer func() { copyBuffers.Put(lent) }()
		b := binary.BigEndian.AppendUint32(buf[:0], uint32(len(record))) //nolint:gosec // bounded above
		_, err := c.Write(append(b, record...))
		return err
	}
	if _, err := c.Write(binary.BigEndian.AppendUint32(nil, uint32(len(record)))); err != nil { //nolint:gosec // bounded above
		return err
	}
	_, err := c.Write(record)
	return err
}

// ReadFrom writes all that r has: a file, or an io.LimitedReader of one, by the
// kernel, where it can, without copying it through the process. WriteTimeout is for
// a piece of 1 MiB then.
func (c *Conn) ReadFrom(r io.Reader) (total int64, err error) {
	w, ok := c.conn.(io.ReaderFrom)
	file, left := r, int64(math.MaxInt64)
	limited, isLimited := r.(*io.LimitedReader)
	if isLimited {
		file, left = limited.R, limited.N
	}
	if _, isFile := file.(*os.File); !ok || !isFile {
		lent, buf := borrow(true)
		defer func() { copyBuffers.Put(lent) }()
		return io.CopyBuffer(writerOnly{c}, readerOnly{r}, buf)
	}
	for left > 0 {
		if err := c.clock.armWrite(c); err != nil {
			return total, err
		}
		n, err := w.ReadFrom(io.LimitReader(file, min(left, sendPieceBytes)))
		total += n
		left -= n
		if isLimited {
			limited.N = left
		}
		c.wrote(n)
		if err != nil {
			return total, c.writeFailed(err)
		}
		if n < sendPieceBytes {
			break
		}
	}
	return total, nil
}

type writerOnly struct{ io.Writer }

type readerOnly struct{ io.Reader }

// datagram reports whether borders of writes matter.
func (c *Conn) datagram() bool {
	_, ok := c.sock.(*packet)
	return ok
}

var (
	_ net.Conn        = (*Conn)(nil)
	_ io.ReaderFrom   = (*Conn)(nil)
	_ io.WriterTo     = (*Conn)(nil)
	_ io.StringWriter = (*Conn)(nil)
)
