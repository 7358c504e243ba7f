package process

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/tristrand/tristrand/internal/parcel"
	"github.com/tristrand/tristrand/internal/portable"
	"github.com/tristrand/tristrand/internal/segment"
	"github.com/tristrand/tristrand/internal/wire"
	"github.com/tristrand/tristrand/strand"
)

// A Conn is one end of a Pipe. Both ends send and receive values of type T, whole and
// in order. Its methods may be called by many goroutines.
//
// It can be a field of a task's input, and moves to the process that gets it: the end
// here is closed when it has been sent.
type Conn[T any] struct {
	sending, receiving turn

	mu    sync.Mutex // guards the rest
	conn  net.Conn
	file  *os.File // what conn was made of, for Carry
	key   segment.Key
	moved bool

	in   []byte // what has come of the next value
	need int    // of how many bytes, 0 while its length is not known
	cut  bool   // a value was sent in part
}

// Pipe returns the two ends of a duplex pipe. Each is closed by who has it.
func Pipe[T any]() (a, b *Conn[T], err error) {
	x, y, err := streamPair()
	if err != nil {
		return nil, nil, fmt.Errorf("process: pipe: %w", err)
	}
	if a, err = newConn[T](x); err != nil {
		return nil, nil, errors.Join(err, y.Close())
	}
	if b, err = newConn[T](y); err != nil {
		return nil, nil, errors.Join(err, a.Close())
	}
	return a, b, nil
}

func newConn[T any](f *os.File) (*Conn[T], error) {
	c, err := net.FileConn(f)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &Conn[T]{conn: c, file: f}, nil
}

var errMoved = errors.New("process: this end of the pipe was sent to another process and is closed here")

// maxMessage bounds a value that is received: more is taken for a peer gone mad.
const maxMessage = 1 << 30

func (c *Conn[T]) use() (net.Conn, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.moved:
		return nil, errMoved
	case c.conn == nil:
		return nil, net.ErrClosed
	default:
		return c.conn, nil
	}
}

// Send sends v. It waits under ctx while the pipe is full, which is some 200 KiB, or 250
// small values, ahead of the receiver. An error before anything was sent leaves the pipe as it was; when ctx
// ends in the middle of a value, what was sent cannot be taken back, and every later
// Send fails. A peer that is gone is io.ErrClosedPipe.
func (c *Conn[T]) Send(ctx context.Context, v T) error {
	if err := strand.Err(ctx); err != nil {
		return err
	}
	conn, err := c.use()
	if err != nil {
		return err
	}
	var extra parcel.Parcel
	if err := portable.Pack("value", &v, &extra); err != nil {
		return fmt.Errorf("process: pipe: %w", err)
	}
	if !extra.Empty() {
		return errors.Join(errors.New("process: pipe: values with shared memory or files go with a job, not through a pipe"), extra.Abandon())
	}
	var buf bytes.Buffer
	buf.Write(make([]byte, 8))
	if err := wire.Encode(&buf, &v); err != nil {
		return fmt.Errorf("process: pipe: the value %w", err)
	}
	b := buf.Bytes()
	binary.LittleEndian.PutUint64(b, uint64(len(b)-8))
	if err := c.sending.take(ctx); err != nil {
		return err
	}
	defer c.sending.give()
	if c.cut {
		return fmt.Errorf("process: pipe: a value was cut off when the ctx of its Send ended: %w", io.ErrClosedPipe)
	}
	n := 0
	err = blocking(ctx, conn.SetWriteDeadline, func() error {
		n, err = conn.Write(b)
		return err
	})
	if err != nil {
		c.cut = n > 0
		return peer(ctx, err)
	}
	return nil
}

// Recv returns the next value that the other end has sent. It waits under ctx; a value
// that has come in part is kept for the next Recv. When the other end is closed, or its
// process gone, it returns io.EOF once all values have been received, and
// io.ErrUnexpectedEOF if the last one was cut off.
func (c *Conn[T]) Recv(ctx context.Context) (v T, err error) {
	if err := strand.Err(ctx); err != nil {
		return v, err
	}
	conn, err := c.use()
	if err != nil {
		return v, err
	}
	if err := c.receiving.take(ctx); err != nil {
		return v, err
	}
	defer c.receiving.give()
	if err := blocking(ctx, conn.SetReadDeadline, func() error { return c.fill(conn) }); err != nil {
		if errors.Is(err, io.EOF) && len(c.in) > 0 {
			err = io.ErrUnexpectedEOF
		}
		return v, peer(ctx, err)
	}
	body := c.in[8:]
	c.in, c.need = nil, 0
	if err := wire.Decode(body, &v); err != nil {
		return v, fmt.Errorf("process: pipe: a value cannot be decoded: %w", err)
	}
	return v, nil
}

// fill reads until a whole value is there.
func (c *Conn[T]) fill(conn net.Conn) error {
	for {
		if c.need == 0 && len(c.in) >= 8 {
			n := binary.LittleEndian.Uint64(c.in)
			if n > maxMessage {
				return fmt.Errorf("process: pipe: a value of %d bytes; %d can be received", n, maxMessage)
			}
			c.need = 8 + int(n)
		}
		want := max(c.need, 8) - len(c.in)
		if c.need > 0 && want == 0 {
			return nil
		}
		step := min(want, 1<<20) // so that a length that lies takes no memory
		at := len(c.in)
		c.in = append(c.in, make([]byte, step)...)
		n, err := conn.Read(c.in[at:])
		c.in = c.in[:at+n]
		switch {
		case errors.Is(err, syscall.ECONNRESET): // the other end was closed with something unread
			return io.EOF
		case err != nil:
			return err
		}
	}
}

// Close closes this end. The other end receives what was sent, and then io.EOF. Values
// that nobody has received here are dropped.
func (c *Conn[T]) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.conn == nil {
		return nil
	}
	err := errors.Join(c.conn.Close(), c.file.Close())
	c.conn, c.file = nil, nil
	return err
}

// Carry lets the end go along with a job, and closes it here.
func (c *Conn[T]) Carry(p *Parcel) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.conn == nil {
		if c.moved {
			return errMoved
		}
		return net.ErrClosed
	}
	c.key = segment.NewKey()
	if err := p.File(c.key, c.file); err != nil {
		return err
	}
	err := errors.Join(c.conn.Close(), c.file.Close())
	c.conn, c.file, c.moved = nil, nil, true
	return err
}

// MarshalCBOR encodes the key by which the other process finds the end.
func (c *Conn[T]) MarshalCBOR() ([]byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.moved {
		return nil, errors.New("process: an end of a pipe goes along with a job's input or output only")
	}
	var buf bytes.Buffer
	err := wire.Encode(&buf, c.key[:])
	return buf.Bytes(), err
}

// UnmarshalCBOR takes the end that has come.
func (c *Conn[T]) UnmarshalCBOR(b []byte) error {
	var raw []byte
	if err := wire.Decode(b, &raw); err != nil {
		return err
	}
	key, err := keyOf(raw)
	if err != nil {
		return err
	}
	f, ok := parcel.Take(key)
	if !ok {
		return errors.New("process: the end of a pipe has not come, or was taken already")
	}
	conn, err := net.FileConn(f)
	if err != nil {
		return errors.Join(err, f.Close())
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.conn, c.file = conn, f
	return nil
}

// A Parcel holds what goes beside the bytes of a job: the descriptors of shared memory
// and of files. An object that needs more than bytes to cross has a method Carry, called
// before it is encoded, which adds to the parcel.
type Parcel = parcel.Parcel

// blocking calls fn, which blocks in the system, and sees to it that it ends with ctx.
// Within a scheduler another goroutine calls it, so that the strand's turn goes on.
func blocking(ctx context.Context, deadline func(time.Time) error, fn func() error) error {
	ended := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		_ = deadline(time.Unix(1, 0))
		close(ended)
	})
	defer func() {
		if !stop() {
			<-ended // it must not end the next call
			_ = deadline(time.Time{})
		}
	}()
	s := strand.Current(ctx)
	if s.Scheduler() == nil {
		return fn()
	}
	w := s.NewWait()
	var err error
	go func() {
		err = fn()
		w.Grant()
	}()
	if parkErr := w.Park(context.WithoutCancel(ctx), system{}); parkErr != nil {
		return parkErr
	}
	return err
}

// system is what a strand waits for that waits for the system.
type system struct{}

func (system) String() string { return "another process" }

func (system) Releasers(buf []strand.Releaser) ([]strand.Releaser, bool) { return buf, false }

// peer returns the error of a call that failed, or that ctx has ended.
func peer(ctx context.Context, err error) error {
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded) && ctx.Err() != nil:
		return strand.Err(ctx)
	case isBroken(err):
		return fmt.Errorf("process: pipe: the other end is closed: %w", io.ErrClosedPipe)
	default:
		return err
	}
}

// A turn is held by one goroutine at a time.
type turn struct {
	once sync.Once
	ch   chan struct{}
}

func (t *turn) take(ctx context.Context) error {
	t.once.Do(func() { t.ch = make(chan struct{}, 1) })
	select {
	case t.ch <- struct{}{}:
		return nil
	default:
	}
	select {
	case t.ch <- struct{}{}:
		return nil
	case <-ctx.Done():
		return strand.Err(ctx)
	}
}

func (t *turn) give() { <-t.ch }
