package manager

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/internal/mpwire"
	"github.com/tristrand/tristrand/internal/pickle"
	"github.com/tristrand/tristrand/manager/internal/host"
	"github.com/tristrand/tristrand/strand"
)

// ErrClosed is returned by the calls of a Client that is closed.
var ErrClosed = errors.New("manager: the client is closed")

// ErrConnection is what the errors of calls are whose connection broke: it is
// not known whether such a call was done. What the client held on the server is
// released. The next call connects again.
var ErrConnection = errors.New("manager: the connection to the server broke")

// DialOptions say how a Client connects. Without AuthKey and NoAuth Dial fails.
type DialOptions struct {
	// AuthKey is what the server must know, and what the client proves to know.
	AuthKey []byte
	NoAuth  bool

	// StrongAuth refuses MD5, and so every Python before 3.12.
	StrongAuth bool

	// TLS is for a Go server that has it. nil is none.
	TLS *tls.Config

	// Timeout bounds connecting and the handshake, and how long a call whose ctx
	// has ended waits to hear whether it was done; 0 is 10 s.
	Timeout time.Duration

	// MaxMessageBytes bounds an answer; 0 is 256 MiB.
	MaxMessageBytes int64

	// Name is what the server shows for this client; "" is the program's name
	// and process id.
	Name string
}

// A Client uses the objects of one server. It may be used by any number of
// goroutines. To a Go server it has one connection, which all share; to
// CPython's it has one for each strand that waits or holds a lock.
//
// After a connection broke the next call makes a new one. A call is sent again
// only if it had not been sent.
type Client struct {
	o       DialOptions
	network string
	addr    string
	name    string
	host    string

	classes *host.Classes

	mu       sync.Mutex // guards the rest
	closed   bool
	plain    bool        // the server knows no links: it is CPython's
	link     *clientLink // nil: not connected
	dialing  chan struct{}
	sessions sessions
	at       any // the server's address, as Python has it
}

// Dial connects to a server: address is as in Listen. It tries the key.
func Dial(ctx context.Context, address string, o DialOptions) (*Client, error) {
	network, addr, err := split(address)
	if err != nil {
		return nil, err
	}
	if len(o.AuthKey) == 0 && !o.NoAuth {
		return nil, errors.New("manager: Dial without an AuthKey: set the server's, or NoAuth if it has none")
	}
	if o.Timeout <= 0 {
		o.Timeout = DefaultHandshakeTimeout
	}
	if o.MaxMessageBytes <= 0 {
		o.MaxMessageBytes = DefaultMaxMessageBytes
	}
	c := &Client{o: o, network: network, addr: addr, name: o.Name}
	if c.name == "" {
		c.name = fmt.Sprintf("%s|%d", os.Args[0], os.Getpid())
	}
	if c.host, err = os.Hostname(); err != nil {
		c.host = ""
	}
	c.classes = &host.Classes{Other: pickle.Symbolic}
	if _, err := c.connect(ctx); err != nil {
		return nil, err
	}
	return c, nil
}

// Close closes the connections. What the client holds on the server is released
// and its references are dropped.
func (c *Client) Close() error {
	c.mu.Lock()
	c.closed = true
	lk := c.link
	c.link = nil
	c.mu.Unlock()
	c.sessions.close()
	if lk != nil {
		lk.end(ErrClosed)
		<-lk.over
	}
	return nil
}

// dial makes a connection and does the handshake.
func (c *Client) dial(ctx context.Context) (net.Conn, *mpwire.Reader, error) {
	ctx, cancel := context.WithTimeout(ctx, c.o.Timeout)
	defer cancel()
	raw, err := c.reach(ctx)
	if err != nil {
		return nil, nil, fmt.Errorf("manager: %w", err)
	}
	nc := raw
	if c.o.TLS != nil {
		cfg := c.o.TLS
		if cfg.ServerName == "" && !cfg.InsecureSkipVerify {
			cfg = cfg.Clone()
			cfg.ServerName, _, _ = net.SplitHostPort(c.addr)
		}
		nc = tls.Client(raw, cfg)
	}
	stop := context.AfterFunc(ctx, func() { _ = nc.SetDeadline(past) })
	r := mpwire.NewReader(nc, 16<<10)
	if !c.o.NoAuth {
		err = mpwire.Auth{Key: c.o.AuthKey, Strong: c.o.StrongAuth}.Greet(r, nc)
	}
	if !stop() && err == nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		if ctx.Err() != nil {
			err = errors.Join(context.Cause(ctx), err)
		}
		_ = nc.Close() // it never was one
		return nil, nil, fmt.Errorf("manager: connecting to %s: %w", c.addr, err)
	}
	r.Most = c.o.MaxMessageBytes
	if a := raw.RemoteAddr(); a != nil {
		c.mu.Lock()
		c.at = pyAddress(a)
		c.mu.Unlock()
	}
	return nc, r, nil
}

// reach connects. A Unix socket whose server is behind with accepting, as
// CPython's is soon, says so at once: that passes.
func (c *Client) reach(ctx context.Context) (net.Conn, error) {
	var d net.Dialer
	for pause := time.Millisecond; ; pause = min(2*pause, 100*time.Millisecond) {
		nc, err := d.DialContext(ctx, c.network, c.addr)
		if err == nil || !errors.Is(err, syscall.EAGAIN) {
			return nc, err
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil, errors.Join(context.Cause(ctx), err)
		}
	}
}

// connect returns the link, a new one if there is none; nil if the server has
// none.
func (c *Client) connect(ctx context.Context) (*clientLink, error) {
	for {
		c.mu.Lock()
		switch {
		case c.closed:
			c.mu.Unlock()
			return nil, ErrClosed
		case c.link != nil || c.plain:
			defer c.mu.Unlock()
			return c.link, nil
		case c.dialing == nil:
			done := make(chan struct{})
			c.dialing = done
			c.mu.Unlock()
			lk, plain, err := c.dialLink(ctx)
			c.mu.Lock()
			c.dialing = nil
			close(done)
			if err == nil && c.closed {
				err = ErrClosed
			}
			if err == nil {
				c.link, c.plain = lk, plain
			}
			c.mu.Unlock()
			if err != nil && lk != nil {
				lk.end(err)
			}
			return lk, err
		}
		wait := c.dialing
		c.mu.Unlock()
		select { // another dials; that takes no longer than the time-out
		case <-wait:
		case <-ctx.Done():
			return nil, strand.Err(ctx)
		}
	}
}

// dialLink makes a link, or finds out that the server has none.
func (c *Client) dialLink(ctx context.Context) (lk *clientLink, plain bool, err error) {
	nc, r, err := c.dial(ctx)
	if err != nil {
		return nil, false, err
	}
	hello := pickle.Tuple{nil, linkName, pickle.Tuple{int64(linkVersion), c.name, c.host, int64(os.Getpid())}, new(pickle.Dict)}
	if err := nc.SetDeadline(time.Now().Add(c.o.Timeout)); err != nil {
		return nil, false, errors.Join(err, nc.Close())
	}
	v, err := c.roundTrip(nc, r, hello)
	if err == nil {
		err = nc.SetDeadline(time.Time{})
	}
	var kind string
	t, ok := v.(pickle.Tuple)
	if err == nil && ok && len(t) == 2 {
		kind, _ = t[0].(string)
	}
	switch {
	case err != nil:
		return nil, false, errors.Join(fmt.Errorf("manager: connecting to %s: %w", c.addr, err), nc.Close())
	case kind == traceback:
		return nil, true, nc.Close()
	case kind != returned:
		return nil, false, errors.Join(fmt.Errorf("manager: %s is no manager: it answers %s", c.addr, pickle.Repr(v, 100)), nc.Close())
	}
	return newClientLink(c, nc, r), false, nil
}

// roundTrip sends one request and reads one answer.
func (c *Client) roundTrip(nc net.Conn, r *mpwire.Reader, v any) (any, error) {
	b, err := pickle.Marshal(mpwire.Begin(nil), v)
	if err != nil {
		return nil, err
	}
	if _, err := nc.Write(mpwire.End(b, 0)); err != nil {
		return nil, err
	}
	data, err := r.Next()
	if err != nil {
		return nil, err
	}
	return pickle.Unmarshal(data, c.reading(nil))
}

// reading returns how answers are read; found, if it is not nil, gets the
// proxies in one.
func (c *Client) reading(found *[]*Proxy) pickle.Options {
	cs := c.classes
	return pickle.Options{MaxDepth: maxDepth, Find: func(g pickle.Global) (*pickle.Class, error) {
		class, err := cs.Find(g)
		if found != nil && err == nil && g.Name == "RebuildProxy" {
			return c.rebuilding(class, found), nil
		}
		return class, err
	}}
}

// forget drops a link that broke.
func (c *Client) forget(lk *clientLink) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.link == lk {
		c.link = nil
	}
}

// call is one call of a client.
type call struct {
	ident  any // nil for a function of the server
	method string
	args   pickle.Tuple
	kwds   *pickle.Dict

	owner bool // it matters whose call it is
	place uintptr
	on    strand.Resource // what is waited for; nil is the server

	// What becomes of it when its ctx ends: patient waits for the answer however
	// long that takes, harmless does not wait for it at all.
	patient, harmless bool

	// after is told the answer of a server without links, and the number of the
	// owner, before the session is given back; nil is not.
	after func(key int64, an *answer)
}

// do does a call and returns the value, or the error that was raised.
func (c *Client) do(ctx context.Context, cl call) (any, error) {
	if ctx.Err() != nil {
		return nil, strand.Err(ctx)
	}
	if cl.kwds == nil {
		cl.kwds = noKwds
	}
	for try := 0; ; try++ {
		lk, err := c.connect(ctx)
		if err != nil {
			return nil, err
		}
		if lk == nil {
			return c.doPlain(ctx, cl)
		}
		v, err := lk.do(ctx, cl)
		if errors.Is(err, errNotSent) && try < maxTries {
			c.forget(lk)
			continue // it cannot have been done
		}
		return v, err
	}
}

const maxTries = 3

// noKwds are the keywords of a call without any.
var noKwds = new(pickle.Dict)

// linked reports whether the server is Go's.
func (c *Client) linked() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.plain
}

// tokenAt is the server's address, as Python has it.
func (c *Client) tokenAt() any {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

// outcome makes of an answer a value or an error.
func outcome(kind string, v any, is []error) (any, error) {
	switch kind {
	case returned, newProxy:
		return v, nil
	case raised:
		return nil, raisedError(v, is)
	case traceback, unserializable:
		text, _ := v.(string)
		return nil, &PythonError{Class: "multiprocessing.managers.RemoteError", Traceback: text, err: errors.Join(is...)}
	default:
		return nil, fmt.Errorf("manager: the server answers %q, which is none of the protocol's", kind)
	}
}

// raisedError is what an exception is to a Go program.
func raisedError(v any, is []error) error {
	e := &PythonError{Class: "builtins.Exception", err: errors.Join(is...)}
	var args pickle.Tuple
	switch v := v.(type) {
	case *host.PythonError:
		e.Class, args = v.Type.String(), v.Args
	case *pickle.Object:
		e.Class, args = v.Class.String(), v.Args
	default:
		args = pickle.Tuple{pickle.Repr(v, 1000)}
	}
	for _, a := range args {
		e.Args = append(e.Args, pickle.ToGo(a))
	}
	if len(is) == 0 {
		e.err = sentinel(e)
	}
	return e
}

// sentinel is the error of package tristrand that an exception of CPython's
// stands for, nil if there is none.
func sentinel(e *PythonError) error {
	text := ""
	if len(e.Args) > 0 {
		text, _ = e.Args[0].(string)
	}
	switch e.Class {
	case "_queue.Empty", "queue.Empty":
		return tristrand.ErrEmpty
	case "queue.Full":
		return tristrand.ErrFull
	case "queue.ShutDown":
		return tristrand.ErrShutdown
	case "threading.BrokenBarrierError":
		return tristrand.ErrBroken
	case "builtins.RuntimeError", "builtins.AssertionError":
		if containsAny(text, "un-acquired", "unlocked", "not owned") {
			return tristrand.ErrNotHeld
		}
	case "builtins.ValueError":
		if containsAny(text, "too many times") {
			return tristrand.ErrOverRelease
		}
	}
	return nil
}
