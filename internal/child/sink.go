package child

import (
	"bytes"
	"errors"
	"io"
	"os"
	"sync"
)

const (
	readBytes   = 32 << 10
	lineBytes   = 64 << 10 // a longer line is passed on in pieces
	drainBytes  = 1 << 20  // a pipe holds no more, without privileges
	reportBytes = 32 << 10
)

// sink reads one stream of a child to its end: keeps the beginning or the end of
// it, passes lines on, never lets the writer wait for memory. A nil sink is no
// stream.
type sink struct {
	file      *os.File
	forward   func(line []byte)
	copyTo    io.Writer
	headBytes int
	tailBytes int
	atEnd     bool // read only in finish, so that the writer wakes nobody

	head []byte
	tail ring
	line []byte // the beginning of a line whose end has not come
	over chan struct{}
}

// buffers are borrowed only while there is something to read, so that a quiet
// child costs none.
var buffers = sync.Pool{New: func() any { return new([readBytes]byte) }}

func (k *sink) start() {
	if k == nil || k.atEnd {
		return
	}
	k.over = make(chan struct{})
	go k.run()
}

func (k *sink) run() {
	defer close(k.over)
	err := k.read(-1)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		// The child has ended: what it wrote is in the pipe. The bound is for
		// those who hold its end of the pipe and write on.
		_ = k.read(drainBytes)
	}
	if len(k.line) > 0 {
		k.forward(k.line)
		k.line = nil
	}
	_ = k.file.Close()
}

// read takes in what there is until the stream ends or its deadline passes, and
// with a limit, until nothing is there at the moment or the limit is reached.
func (k *sink) read(limit int) error {
	for total := 0; limit < 0 || total < limit; {
		n, err := k.readOnce(limit >= 0)
		if err != nil {
			return err
		}
		total += n
	}
	return nil
}

func (k *sink) take(data []byte) {
	if room := k.headBytes - len(k.head); room > 0 {
		k.head = append(k.head, data[:min(room, len(data))]...)
	}
	if k.tailBytes > 0 {
		k.tail.write(data, k.tailBytes)
	}
	if k.copyTo != nil {
		if _, err := k.copyTo.Write(data); err != nil {
			k.copyTo = nil // whoever read it is gone; the child need not know
		}
	}
	if k.forward != nil {
		k.lines(data)
	}
}

func (k *sink) lines(data []byte) {
	for len(data) > 0 {
		i := bytes.IndexByte(data, '\n')
		switch {
		case i >= 0 && len(k.line) == 0:
			k.forward(data[:i])
		case i >= 0:
			k.forward(append(k.line, data[:i]...))
			k.line = k.line[:0]
		default:
			k.line = append(k.line, data...)
			if len(k.line) >= lineBytes {
				k.forward(k.line)
				k.line = nil
			}
			return
		}
		data = data[i+1:]
	}
}

// finish is called when the child has ended: it waits until what the child
// wrote is taken in, and returns what was kept.
func (k *sink) finish() []byte {
	if k == nil {
		return nil
	}
	if k.atEnd {
		_ = k.read(drainBytes)
		_ = k.file.Close()
	} else if !k.wait() {
		return nil
	}
	if k.headBytes > 0 {
		return k.head
	}
	return k.tail.bytes()
}

// ring keeps the last bytes written to it.
type ring struct {
	data []byte
	next int // where the next byte goes, once data is full
}

func (r *ring) write(p []byte, size int) {
	if len(p) >= size {
		r.data, r.next = append(r.data[:0], p[len(p)-size:]...), 0
		return
	}
	if room := size - len(r.data); room > 0 {
		n := min(room, len(p))
		r.data, p = append(r.data, p[:n]...), p[n:]
	}
	for len(p) > 0 {
		n := copy(r.data[r.next:], p)
		r.next, p = (r.next+n)%size, p[n:]
	}
}

func (r *ring) bytes() []byte {
	return append(append([]byte(nil), r.data[r.next:]...), r.data[:r.next]...)
}
