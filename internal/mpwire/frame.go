// Package mpwire has the frames and the handshake of Python's
// multiprocessing.connection, as CPython 3.8 to 3.14 have them.
//
// A frame is a length and that many bytes: a big-endian int32 or, after the
// int32 -1, a big-endian uint64. Reader reads them, Begin and End write them.
// Welcome and Greet are the two sides of the handshake, by which both prove
// that they know one key without sending it.
package mpwire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
)

// A LengthError says that a frame was refused for its length.
type LengthError struct {
	Length uint64 // 0: the length was negative
	Most   int64
}

func (e *LengthError) Error() string {
	if e.Length == 0 {
		return "a frame of negative length"
	}
	return fmt.Sprintf("a frame of %d bytes; the most is %d", e.Length, e.Most)
}

const (
	shortHead = 4
	longHead  = 12
	firstRead = 64 << 10 // of a large frame; what is claimed is believed as it arrives
)

// A Reader reads frames. It is for one goroutine at a time.
type Reader struct {
	// Most is the longest frame that is read, in bytes; 0 is no bound.
	Most int64

	// Before is called before each read from the connection; nil does nothing.
	Before func()

	r      io.Reader
	buf    []byte // small, kept
	lo, hi int    // what of buf has been read and not been taken
	part   []byte // of a large frame that was not read to its end; nil: none
	have   int    // bytes of part that have been read
	want   int    // bytes of that frame
}

// NewReader returns a reader that keeps a buffer of size bytes, at least 16.
// Frames beyond it are read into one of their own.
func NewReader(r io.Reader, size int) *Reader {
	return &Reader{r: r, buf: make([]byte, max(size, 16))}
}

// Buffered returns how many bytes have been read and not been taken.
func (r *Reader) Buffered() int { return r.hi - r.lo }

// HasFrame reports whether Next would return without reading.
func (r *Reader) HasFrame() bool {
	b := r.buf[r.lo:r.hi]
	if len(b) < shortHead {
		return false
	}
	n := int32(binary.BigEndian.Uint32(b))
	return n >= 0 && len(b)-shortHead >= int(n) || n < -1
}

// Large reports whether the next frame has begun and does not fit the buffer:
// Next reads it into memory of its own then.
func (r *Reader) Large() bool {
	b := r.buf[r.lo:r.hi]
	if len(b) < shortHead {
		return false
	}
	n := int32(binary.BigEndian.Uint32(b))
	return n == -1 || int(n) > len(r.buf)-shortHead
}

// From has what follows read from another connection, which goes on where the
// first was left.
func (r *Reader) From(c io.Reader) { r.r = c }

// Next returns the next frame. It is good until the next call. The error is
// io.EOF at a clean end, io.ErrUnexpectedEOF within a frame, a *LengthError
// for a length that is refused. After a time-out the next Next goes on where that
// one was, within a frame, too.
func (r *Reader) Next() ([]byte, error) {
	if r.part != nil {
		return r.large()
	}
	if err := r.need(shortHead, true); err != nil {
		return nil, err
	}
	var n uint64
	head := shortHead
	switch short := int32(binary.BigEndian.Uint32(r.buf[r.lo:])); {
	case short >= 0:
		n = uint64(short)
	case short == -1:
		head = longHead
		if err := r.need(longHead, false); err != nil {
			return nil, err
		}
		n = binary.BigEndian.Uint64(r.buf[r.lo+shortHead:])
	default:
		return nil, &LengthError{0, r.Most}
	}
	if r.Most > 0 && n > uint64(r.Most) || n > math.MaxInt-longHead {
		return nil, &LengthError{n, r.Most}
	}
	if int(n)+head <= len(r.buf) {
		if err := r.need(int(n)+head, false); err != nil {
			return nil, err
		}
		b := r.buf[r.lo+head : r.lo+head+int(n)]
		if r.lo += head + int(n); r.lo == r.hi {
			r.lo, r.hi = 0, 0
		}
		return b, nil
	}
	r.lo += head
	r.want = int(n)
	r.part = make([]byte, min(r.want, max(firstRead, r.hi-r.lo)))
	r.have = copy(r.part, r.buf[r.lo:r.hi])
	r.lo, r.hi = 0, 0
	return r.large()
}

// need makes sure that buf has n bytes that were not taken; atStart says that
// the end of the input is a clean one here.
func (r *Reader) need(n int, atStart bool) error {
	if len(r.buf)-r.lo < n {
		r.hi = copy(r.buf, r.buf[r.lo:r.hi])
		r.lo = 0
	}
	for r.hi-r.lo < n {
		if err := r.Fill(); err != nil {
			if errors.Is(err, io.EOF) && (!atStart || r.hi > r.lo) {
				return io.ErrUnexpectedEOF
			}
			return err
		}
	}
	return nil
}

// Fill reads once from the connection into the buffer, and fails with
// io.ErrShortBuffer if there is no room. It is for those who want to know
// whether the peer is there: what it sends meanwhile is not lost.
func (r *Reader) Fill() error {
	if r.hi == len(r.buf) {
		if r.lo == 0 {
			return io.ErrShortBuffer
		}
		r.hi = copy(r.buf, r.buf[r.lo:r.hi])
		r.lo = 0
	}
	if r.Before != nil {
		r.Before()
	}
	n, err := r.r.Read(r.buf[r.hi:])
	r.hi += n
	if n > 0 {
		return nil
	}
	return err
}

// large reads the rest of a frame into memory of its own.
func (r *Reader) large() ([]byte, error) {
	for r.have < r.want {
		if r.have == len(r.part) {
			grown := make([]byte, min(r.want, 2*len(r.part)))
			copy(grown, r.part)
			r.part = grown
		}
		if r.Before != nil {
			r.Before()
		}
		m, err := r.r.Read(r.part[r.have:])
		r.have += m
		if err != nil && r.have < r.want {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
	}
	b := r.part
	r.part = nil
	return b, nil
}

// Begin appends room for a frame's header to b. The payload is appended after
// it, and End completes the frame.
func Begin(b []byte) []byte { return append(b, make([]byte, longHead)...) }

// End writes the header of the frame that was begun at start and returns the
// frame: part of b.
func End(b []byte, start int) []byte {
	n := len(b) - start - longHead
	if n <= math.MaxInt32 {
		frame := b[start+longHead-shortHead:]
		binary.BigEndian.PutUint32(frame, uint32(n))
		return frame
	}
	binary.BigEndian.PutUint32(b[start:], math.MaxUint32)
	binary.BigEndian.PutUint64(b[start+shortHead:], uint64(n))
	return b[start:]
}

// WriteFrame writes payload as one frame.
func WriteFrame(w io.Writer, payload []byte) error {
	frame := End(append(Begin(make([]byte, 0, longHead+len(payload))), payload...), 0)
	_, err := w.Write(frame)
	return err
}
