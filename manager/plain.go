package manager

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/tristrand/tristrand/internal/gtoken"
	"github.com/tristrand/tristrand/internal/mpwire"
	"github.com/tristrand/tristrand/internal/pickle"
	"github.com/tristrand/tristrand/strand"
)

// sessions are the connections to a server that has no links, CPython's. A call
// takes an idle one; a strand that holds a lock keeps its own, because there the
// session is who owns the lock.
type sessions struct {
	mu     sync.Mutex
	closed bool
	idle   []*clientSession
	pinned map[int64]*clientSession // by owner, while it holds
	holds  map[int64]map[string]int // by owner and ident: how often it has acquired
	all    map[*clientSession]bool
}

type clientSession struct {
	nc net.Conn
	r  *mpwire.Reader
}

// slice is how long a call waits at CPython's server at a time: it cannot be
// given up before.
const slice = 100 * time.Millisecond

// maxIdleSessions are kept for the next calls.
const maxIdleSessions = 64

func (ss *sessions) close() {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	ss.closed = true
	for s := range ss.all {
		_ = s.nc.Close() // whoever uses it sees it
	}
	ss.all, ss.idle, ss.pinned = nil, nil, nil
}

// drop closes a session that broke.
func (ss *sessions) drop(s *clientSession) {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	delete(ss.all, s)
	for key, p := range ss.pinned {
		if p == s {
			delete(ss.pinned, key)
			delete(ss.holds, key)
		}
	}
	_ = s.nc.Close() // it is of no use
}

// take returns the session of an owner or an idle one, nil if there is none.
func (ss *sessions) take(key int64) *clientSession {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	if s := ss.pinned[key]; s != nil && key != 0 {
		return s
	}
	if n := len(ss.idle); n > 0 {
		s := ss.idle[n-1]
		ss.idle = ss.idle[:n-1]
		return s
	}
	return nil
}

// put gives a session back: to its owner, if that holds something.
func (ss *sessions) put(key int64, s *clientSession) {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	switch {
	case ss.closed:
		_ = s.nc.Close() // the client is closed
	case key != 0 && len(ss.holds[key]) > 0:
		ss.pinned[key] = s
	case len(ss.idle) >= maxIdleSessions:
		delete(ss.all, s)
		delete(ss.pinned, key)
		_ = s.nc.Close() // there are enough
	default:
		delete(ss.pinned, key)
		if !slices.Contains(ss.idle, s) {
			ss.idle = append(ss.idle, s)
		}
	}
}

// hold counts what an owner holds, before its session is put back.
func (ss *sessions) hold(key int64, ident string, n int) {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	if ss.holds == nil {
		ss.holds, ss.pinned = map[int64]map[string]int{}, map[int64]*clientSession{}
	}
	m := ss.holds[key]
	if m == nil {
		m = map[string]int{}
		ss.holds[key] = m
	}
	if m[ident] += n; m[ident] <= 0 {
		delete(m, ident)
	}
	if len(m) == 0 {
		delete(ss.holds, key)
	}
}

func (ss *sessions) held(key int64, ident string) int {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	return ss.holds[key][ident]
}

// ownerKey is the number of the calling strand, or of the goroutine.
func ownerKey(ctx context.Context) int64 {
	if id := int64(strand.Current(ctx).ID()); id != 0 {
		return id
	}
	return -int64(gtoken.Get()>>1) - 1
}

// open makes a new session.
func (c *Client) open(ctx context.Context) (*clientSession, error) {
	nc, r, err := c.dial(ctx)
	if err != nil {
		return nil, err
	}
	hello := pickle.Tuple{nil, "accept_connection", pickle.Tuple{c.name}, new(pickle.Dict)}
	if _, err = c.roundTrip(nc, r, hello); err != nil {
		return nil, errors.Join(err, nc.Close())
	}
	s := &clientSession{nc, r}
	c.sessions.mu.Lock()
	defer c.sessions.mu.Unlock()
	if c.sessions.closed {
		return nil, errors.Join(ErrClosed, nc.Close())
	}
	if c.sessions.all == nil {
		c.sessions.all = map[*clientSession]bool{}
	}
	c.sessions.all[s] = true
	return s, nil
}

// an exchange is a request and its answer that a goroutine waits for on behalf
// of a strand, which parks.
type exchange struct {
	c    *Client
	mu   sync.Mutex
	w    strand.Wait
	done bool
	v    any
	err  error
}

// String names the exchange to those who look at waits.
func (x *exchange) String() string { return "manager " + x.c.addr }

// Releasers says that it is not known here who could answer.
func (x *exchange) Releasers(buf []strand.Releaser) ([]strand.Releaser, bool) { return buf, false }

func (x *exchange) finish(v any, err error) {
	x.mu.Lock()
	x.done, x.v, x.err = true, v, err
	w := x.w
	x.mu.Unlock()
	w.Grant()
}

// await runs f in a goroutine and parks until it has ended. When ctx ends it
// waits a little longer: an answer on its way counts. It returns false if none
// came.
func (c *Client) await(ctx context.Context, cl call, f func() (any, error)) (v any, err error, ok bool) {
	s := strand.Enter(ctx, strand.Op{Verb: "call", Write: true})
	x := &exchange{c: c, w: s.NewWait()}
	go func() { x.finish(f()) }()
	err = x.w.Park(ctx, x)
	if err != nil {
		x.mu.Lock()
		if x.done {
			x.mu.Unlock()
			return x.v, x.err, true
		}
		x.w = s.NewWait()
		w := x.w
		x.mu.Unlock()
		if cl.harmless {
			w.Cancel()
			return nil, err, false
		}
		short, stop := context.WithTimeout(context.WithoutCancel(ctx), c.o.Timeout)
		defer stop()
		if w.Park(short, x) != nil {
			return nil, err, false
		}
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.v, x.err, true
}

// doPlain does a call to a server that has no links.
func (c *Client) doPlain(ctx context.Context, cl call) (any, error) {
	if cl.ident == nil {
		return c.doFunction(ctx, cl)
	}
	var key int64
	if cl.owner {
		key = ownerKey(ctx)
	}
	v, err, ok := c.exchangeOn(ctx, key, cl)
	if !ok {
		return nil, err
	}
	if err != nil {
		return nil, err
	}
	an := v.(*answer)
	if cl.after != nil {
		cl.after(key, an)
	}
	c.sessions.put(key, an.s)
	v, err = outcome(an.kind, an.v, nil)
	if err == nil {
		err = c.adopt(ctx, an.proxies)
	}
	return v, err
}

// an answer is what a session said.
type answer struct {
	s       *clientSession
	kind    string
	v       any
	proxies []*Proxy
}

// exchangeOn does a call on a session; its result is an *answer.
func (c *Client) exchangeOn(ctx context.Context, key int64, cl call) (any, error, bool) {
	var used *clientSession
	var mu sync.Mutex
	v, err, ok := c.await(ctx, cl, func() (any, error) {
		s := c.sessions.take(key)
		if s == nil {
			var err error
			if s, err = c.open(context.WithoutCancel(ctx)); err != nil {
				return nil, err
			}
		}
		mu.Lock()
		used = s
		mu.Unlock()
		an := &answer{s: s}
		v, err := c.converse(s, pickle.Tuple{cl.ident, cl.method, cl.args, cl.kwds}, &an.proxies)
		if _, bad := errors.AsType[*pickle.WriteError](err); bad {
			c.sessions.put(key, s) // nothing was sent
			return nil, err
		}
		if err == nil {
			an.kind, an.v, err = kindOf(v)
		}
		if err != nil {
			c.sessions.drop(s)
			return nil, fmt.Errorf("%w: %w", ErrConnection, err)
		}
		return an, nil
	})
	if !ok {
		mu.Lock()
		defer mu.Unlock()
		if used != nil {
			c.sessions.drop(used)
		}
	}
	return v, err, ok
}

// converse sends one request on a session and reads the answer.
func (c *Client) converse(s *clientSession, v any, found *[]*Proxy) (any, error) {
	b, err := pickle.Marshal(mpwire.Begin(nil), v)
	if err != nil {
		return nil, err
	}
	if _, err := s.nc.Write(mpwire.End(b, 0)); err != nil {
		return nil, err
	}
	data, err := s.r.Next()
	if err != nil {
		return nil, err
	}
	return pickle.Unmarshal(data, c.reading(found))
}

func kindOf(v any) (string, any, error) {
	t, ok := v.(pickle.Tuple)
	if !ok || len(t) != 2 {
		return "", nil, fmt.Errorf("an answer that is none of the protocol's: %s", pickle.Repr(v, 100))
	}
	kind, ok := t[0].(string)
	if !ok {
		return "", nil, fmt.Errorf("an answer that is none of the protocol's: %s", pickle.Repr(v, 100))
	}
	return kind, t[1], nil
}

// doFunction does a function of the server, on a connection of its own.
func (c *Client) doFunction(ctx context.Context, cl call) (any, error) {
	v, err, ok := c.await(ctx, cl, func() (any, error) {
		nc, r, err := c.dial(context.WithoutCancel(ctx))
		if err != nil {
			return nil, err
		}
		defer nc.Close()
		if err := nc.SetDeadline(time.Now().Add(c.o.Timeout)); err != nil {
			return nil, err
		}
		return c.roundTrip(nc, r, pickle.Tuple{nil, cl.method, cl.args, cl.kwds})
	})
	if err != nil || !ok {
		return nil, err
	}
	kind, v, err := kindOf(v)
	if err != nil {
		return nil, err
	}
	return outcome(kind, v, nil)
}
