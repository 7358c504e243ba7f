package manager

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/tristrand/tristrand/internal/mpwire"
	"github.com/tristrand/tristrand/internal/pickle"
	"github.com/tristrand/tristrand/manager/internal/host"
)

// A Listener accepts connections from Python programs that use
// multiprocessing.connection.Client, and from Connect. Its fields are read at
// the first Accept.
type Listener struct {
	// AuthKey is what peers must know, and what the listener proves to know;
	// without it NoAuth must say that nobody needs one.
	AuthKey []byte
	NoAuth  bool

	// StrongAuth refuses MD5, and so every Python before 3.12.
	StrongAuth bool

	// TLS is for Go peers. nil is none.
	TLS *tls.Config

	// HandshakeTimeout bounds the handshake; 0 is 10 s.
	HandshakeTimeout time.Duration

	// MaxMessageBytes bounds a message that is received; 0 is 256 MiB.
	MaxMessageBytes int64

	net   net.Listener
	once  sync.Once
	ready chan accepted
	done  chan struct{} // closed by Close
	wg    sync.WaitGroup
	limit chan struct{} // handshakes at a time

	mu     sync.Mutex // guards the rest
	closed bool
	young  map[net.Conn]bool // in their handshake
}

type accepted struct {
	c   *Conn
	err error
}

// maxHandshakes bounds those that go on at a time.
const maxHandshakes = 256

// ListenConn listens on an address, see Listen, for connections as Python's
// multiprocessing.connection.Listener does. Its fields may be set before the
// first Accept.
func ListenConn(address string, authKey []byte) (*Listener, error) {
	l, err := Listen(address)
	if err != nil {
		return nil, err
	}
	return NewListener(l, authKey), nil
}

// NewListener makes a Listener of one of package net, which it closes.
func NewListener(l net.Listener, authKey []byte) *Listener {
	return &Listener{
		AuthKey: authKey, net: l, ready: make(chan accepted), done: make(chan struct{}),
		limit: make(chan struct{}, maxHandshakes), young: map[net.Conn]bool{},
	}
}

// Addr returns where it listens.
func (l *Listener) Addr() net.Addr { return l.net.Addr() }

// Accept returns the next connection whose peer has proved the key. Handshakes
// go on side by side, so that a peer that is slow or wrong holds up no other; a
// failed one is an error of Accept that is ErrAuth or the connection's, after
// which Accept may be called again. After Close it returns net.ErrClosed.
func (l *Listener) Accept(ctx context.Context) (*Conn, error) {
	if len(l.AuthKey) == 0 && !l.NoAuth {
		return nil, errors.New("manager: a Listener without AuthKey: set a key, or NoAuth if none is wanted")
	}
	l.once.Do(func() { l.wg.Go(l.run) })
	select {
	case a := <-l.ready:
		return a.c, a.err
	case <-l.done:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// ErrAuth says that a peer does not have the key, or did not accept ours.
var ErrAuth = mpwire.ErrAuth

// run accepts until the listener is closed.
func (l *Listener) run() {
	for {
		select {
		case l.limit <- struct{}{}:
		case <-l.done:
			return
		}
		c, err := l.net.Accept()
		if err != nil {
			<-l.limit
			if errors.Is(err, net.ErrClosed) || !l.hand(accepted{err: err}) {
				return
			}
			time.Sleep(5 * time.Millisecond) // out of descriptors, most likely
			continue
		}
		l.mu.Lock()
		if l.closed {
			l.mu.Unlock()
			_ = c.Close() // nobody wants it any more
			return
		}
		l.young[c] = true
		l.mu.Unlock()
		l.wg.Go(func() { l.greet(c) })
	}
}

// hand gives Accept its next result, and reports whether somebody takes it.
func (l *Listener) hand(a accepted) bool {
	select {
	case l.ready <- a:
		return true
	case <-l.done:
		return false
	}
}

func (l *Listener) greet(raw net.Conn) {
	c, err := l.handshake(raw)
	l.mu.Lock()
	delete(l.young, raw)
	l.mu.Unlock()
	<-l.limit
	if err != nil {
		_ = raw.Close() // it never was a connection
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return // it went away
		}
		l.hand(accepted{err: fmt.Errorf("manager: a connection from %v: %w", raw.RemoteAddr(), err)})
		return
	}
	if !l.hand(accepted{c: c}) {
		_ = c.Close() // nobody took it
	}
}

func (l *Listener) handshake(raw net.Conn) (*Conn, error) {
	d := l.HandshakeTimeout
	if d <= 0 {
		d = DefaultHandshakeTimeout
	}
	if err := raw.SetDeadline(time.Now().Add(d)); err != nil {
		return nil, err
	}
	nc := raw
	if l.TLS != nil {
		nc = tls.Server(raw, l.TLS)
	}
	r := mpwire.NewReader(nc, readBytes)
	r.Before = mpwire.QuickAck(raw)
	if !l.NoAuth {
		if err := (mpwire.Auth{Key: l.AuthKey, Strong: l.StrongAuth}).Welcome(r, nc); err != nil {
			return nil, err
		}
	}
	r.Before = nil
	if err := raw.SetDeadline(time.Time{}); err != nil {
		return nil, err
	}
	return newConn(nc, r, l.MaxMessageBytes), nil
}

// Close stops listening and waits for handshakes to end. Connections that were
// accepted go on.
func (l *Listener) Close() error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return nil
	}
	l.closed = true
	for c := range l.young {
		_ = c.Close() // its handshake sees it
	}
	l.mu.Unlock()
	close(l.done)
	err := l.net.Close()
	l.wg.Wait()
	return err
}

// A Conn is a connection for messages, as Python's
// multiprocessing.connection.Connection. One goroutine may send and another
// receive at the same time.
type Conn struct {
	nc   net.Conn
	r    *mpwire.Reader
	read pickle.Options

	sending, receiving chan struct{} // held by who does so
}

func newConn(nc net.Conn, r *mpwire.Reader, most int64) *Conn {
	if most <= 0 {
		most = DefaultMaxMessageBytes
	}
	r.Most = most
	cs := &host.Classes{Other: pickle.Symbolic}
	return &Conn{
		nc: nc, r: r, read: pickle.Options{Find: cs.Find},
		sending: make(chan struct{}, 1), receiving: make(chan struct{}, 1),
	}
}

// Connect connects to a Listener, of Python or of Go: it is Python's
// multiprocessing.connection.Client. Of the options Name has no meaning.
func Connect(ctx context.Context, address string, o DialOptions) (*Conn, error) {
	network, addr, err := split(address)
	if err != nil {
		return nil, err
	}
	if len(o.AuthKey) == 0 && !o.NoAuth {
		return nil, errors.New("manager: Connect without an AuthKey: set the listener's, or NoAuth if it has none")
	}
	if o.Timeout <= 0 {
		o.Timeout = DefaultHandshakeTimeout
	}
	nc, r, err := (&Client{o: o, network: network, addr: addr}).dial(ctx)
	if err != nil {
		return nil, err
	}
	return newConn(nc, r, o.MaxMessageBytes), nil
}

// during does f with the deadline of ctx on the connection, one caller at a
// time. A message that ctx's end cuts in two leaves the connection unusable:
// then it is closed.
func (c *Conn) during(ctx context.Context, turn chan struct{}, deadline func(time.Time) error, f func() error) error {
	select {
	case turn <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	defer func() { <-turn }()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	stopped := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(stopped)
		_ = deadline(past) // a closed connection ends f, too
	})
	err := f()
	if !stop() {
		<-stopped
		if reset := deadline(time.Time{}); err == nil {
			err = reset
		}
	}
	if err != nil && ctx.Err() != nil && isTimeout(err) {
		err = context.Cause(ctx)
	}
	return err
}

// Send sends a value, converted as Proxy.Call says. It waits while the peer does
// not read.
func (c *Conn) Send(ctx context.Context, v any) error {
	wire, err := toWire(v)
	if err != nil {
		return err
	}
	b, err := pickle.Marshal(mpwire.Begin(nil), wire)
	if err != nil {
		return fmt.Errorf("manager: %w", err)
	}
	return c.send(ctx, mpwire.End(b, 0))
}

// SendBytes sends bytes as they are.
func (c *Conn) SendBytes(ctx context.Context, b []byte) error {
	frame := append(mpwire.Begin(make([]byte, 0, len(b)+16)), b...)
	return c.send(ctx, mpwire.End(frame, 0))
}

func (c *Conn) send(ctx context.Context, frame []byte) error {
	return c.during(ctx, c.sending, c.nc.SetWriteDeadline, func() error {
		n, err := c.nc.Write(frame)
		if err != nil && n > 0 {
			_ = c.nc.Close() // what the peer reads next would be no frame
		}
		return err
	})
}

// Recv receives a value, as Proxy.Call describes results. Classes of Python's
// that are not data come as what they were made of. It returns io.EOF when the
// peer has closed the connection.
func (c *Conn) Recv(ctx context.Context) (any, error) {
	v, err := c.recv(ctx)
	if err != nil {
		return nil, err
	}
	return pickle.ToGo(v), nil
}

// Receive is Conn.Recv whose result is converted to a T.
func Receive[T any](ctx context.Context, c *Conn) (T, error) {
	v, err := c.recv(ctx)
	if err != nil {
		var none T
		return none, err
	}
	return pickle.Get[T](v)
}

func (c *Conn) recv(ctx context.Context) (v any, err error) {
	err = c.next(ctx, func(data []byte) error {
		v, err = pickle.Unmarshal(data, c.read)
		return err
	})
	return v, err
}

// RecvBytes receives bytes that were sent as they are.
func (c *Conn) RecvBytes(ctx context.Context) (b []byte, err error) {
	err = c.next(ctx, func(data []byte) error {
		b = append([]byte{}, data...)
		return nil
	})
	return b, err
}

func (c *Conn) next(ctx context.Context, use func([]byte) error) error {
	return c.during(ctx, c.receiving, c.nc.SetReadDeadline, func() error {
		data, err := c.r.Next()
		if err != nil {
			if !errors.Is(err, io.EOF) && !isTimeout(err) {
				_ = c.nc.Close() // the rest of a message would be taken for one
			}
			return err
		}
		return use(data)
	})
}

// Close closes the connection.
func (c *Conn) Close() error { return c.nc.Close() }

// LocalAddr and RemoteAddr say between whom the connection is.
func (c *Conn) LocalAddr() net.Addr { return c.nc.LocalAddr() }

// RemoteAddr returns the peer's address.
func (c *Conn) RemoteAddr() net.Addr { return c.nc.RemoteAddr() }
