package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/strand"
)

// A core serves connections that were accepted, with one handler: in this process,
// or in a worker process, where it is all that there is of the server.
type core struct {
	conf    conf
	handler Handler
	simple  HandlerFunc   // the handler, if it is only a function
	greets  bool          // there may be something before the handler
	quick   bool          // reads have no time-out
	tls     *certificates // nil: no TLS
	onError func(ctx context.Context, remote net.Addr, err error)

	after func(c *Conn, e ending) // called for each connection that is over; nil: nobody is

	// name is told of the addresses in a PROXY header, and says whether their client
	// may come; nil: the core counts it itself.
	name func(c *Conn, remote, local net.Addr) bool

	count counters
	slots *slots // nil: no bound

	mu     sync.Mutex // guards the rest
	first  *Conn      // of the living, the newest first
	active int
	ids    uint64
	byAddr map[netip.Addr]int
	level  int32
	idle   chan struct{} // closed when none is left; nil while nobody waits
}

// prepare works out what is the same for all connections.
func (k *core) prepare() *core {
	k.simple = simple(k.handler)
	k.greets = k.tls != nil || len(k.conf.Proxy) > 0
	k.quick = k.conf.first() <= 0
	return k
}

// conf is what of a Server's settings a connection needs. It crosses to workers.
type conf struct {
	IdleTimeout, ReadTimeout, WriteTimeout time.Duration
	HandshakeTimeout, DrainIdle            time.Duration
	MaxLineBytes, MaxRecordBytes           int
	MaxPerAddr                             int
	Proxy                                  []netip.Prefix
}

// first is the time-out of the wait for a message.
func (c *conf) first() time.Duration {
	if c.IdleTimeout > 0 {
		return c.IdleTimeout
	}
	return c.ReadTimeout
}

// counters count for Stats.
type counters struct {
	accepted, finished, refused, failed, panicked, timedOut, hangups, cut, acceptErrors, crashed atomic.Uint64
}

// errPerAddr says why a connection was refused.
var errPerAddr = errors.New("server: the address has Server.MaxPerAddr connections already")

// add puts c among the living, and counts its address.
func (k *core) add(c *Conn) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !c.proxied() && !k.countAddr(c.remote) {
		return errPerAddr
	}
	k.ids++
	if c.id == 0 {
		c.id = k.ids
	}
	if c.next = k.first; c.next != nil {
		c.next.prev = c
	}
	k.first = c
	k.active++
	if k.level > levelOpen {
		c.level.Store(k.level)
	}
	return nil
}

// remove takes c from the living.
func (k *core) remove(c *Conn) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if c.prev != nil {
		c.prev.next = c.next
	} else {
		k.first = c.next
	}
	if c.next != nil {
		c.next.prev = c.prev
	}
	c.prev, c.next = nil, nil
	k.active--
	k.freeAddr(c)
	if k.active == 0 && k.idle != nil {
		close(k.idle)
		k.idle = nil
	}
}

// free lets another client have the place of c, whose handler is done, and that of
// its address: before the client sees the end, since it may come again at once.
func (k *core) free(c *Conn) {
	if k.conf.MaxPerAddr > 0 {
		k.mu.Lock()
		k.freeAddr(c)
		k.mu.Unlock()
	}
	if k.slots != nil {
		k.slots.give()
	}
}

// freeAddr takes c from the books of its address. k.mu is held.
func (k *core) freeAddr(c *Conn) {
	if !c.freed && c.counts() {
		k.uncountAddr(c.remote)
	}
	c.freed = true
}

// drained returns a channel that is closed when nobody is alive.
func (k *core) drained() <-chan struct{} {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.active == 0 {
		return closedChan
	}
	if k.idle == nil {
		k.idle = make(chan struct{})
	}
	return k.idle
}

var closedChan = func() chan struct{} { c := make(chan struct{}); close(c); return c }()

// living returns all connections.
func (k *core) living() []*Conn {
	k.mu.Lock()
	defer k.mu.Unlock()
	all := make([]*Conn, 0, k.active)
	for c := k.first; c != nil; c = c.next {
		all = append(all, c)
	}
	return all
}

// views returns what is known of all connections.
func (k *core) views() []ConnView {
	k.mu.Lock()
	defer k.mu.Unlock()
	all := make([]ConnView, 0, k.active)
	for c := k.first; c != nil; c = c.next {
		all = append(all, c.view())
	}
	return all
}

// raise raises the level of all connections, those to come included.
func (k *core) raise(level int32) {
	k.mu.Lock()
	k.level = max(k.level, level)
	k.mu.Unlock()
	for _, c := range k.living() {
		c.raise(level)
	}
}

// addrKey is what connections are counted by: the address, of IPv6 the /64 that
// one subscriber has. False for clients without one, which are not counted.
func addrKey(a net.Addr) (netip.Addr, bool) {
	var ip netip.Addr
	switch a := a.(type) {
	case *net.TCPAddr:
		ip, _ = netip.AddrFromSlice(a.IP)
	case *net.UDPAddr:
		ip, _ = netip.AddrFromSlice(a.IP)
	}
	if ip = ip.Unmap(); !ip.IsValid() {
		return ip, false
	}
	if ip.Is6() {
		p, err := ip.WithZone("").Prefix(64)
		return p.Addr(), err == nil
	}
	return ip, true
}

func (k *core) countAddr(a net.Addr) bool {
	if k.conf.MaxPerAddr <= 0 {
		return true
	}
	key, ok := addrKey(a)
	if !ok {
		return true
	}
	if k.byAddr[key] >= k.conf.MaxPerAddr {
		return false
	}
	if k.byAddr == nil {
		k.byAddr = make(map[netip.Addr]int)
	}
	k.byAddr[key]++
	return true
}

func (k *core) uncountAddr(a net.Addr) {
	key, ok := addrKey(a)
	if !ok || k.conf.MaxPerAddr <= 0 {
		return
	}
	if k.byAddr[key]--; k.byAddr[key] <= 0 {
		delete(k.byAddr, key)
	}
}

// proxied reports whether c must begin with a PROXY header.
func (c *Conn) proxied() bool {
	if len(c.core.conf.Proxy) == 0 || c.datagram() {
		return false
	}
	ip, ok := peerIP(c.sock.RemoteAddr())
	for _, p := range c.core.conf.Proxy {
		if ok && p.Contains(ip) {
			return true
		}
	}
	return false
}

func peerIP(a net.Addr) (netip.Addr, bool) {
	t, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.Addr{}, false
	}
	ip, ok := netip.AddrFromSlice(t.IP)
	return ip.Unmap().WithZone(""), ok
}

// counts reports whether c is counted by its address.
func (c *Conn) counts() bool { return !c.proxied() || c.greeted }

// greet does what comes before the handler: the PROXY header, then TLS. Its time
// is HandshakeTimeout.
func (k *core) greet(c *Conn) error {
	proxied := c.proxied()
	if !proxied && (k.tls == nil || c.datagram()) {
		return nil
	}
	if d := k.conf.HandshakeTimeout; d > 0 {
		if err := c.sock.SetDeadline(time.Now().Add(d)); err != nil {
			return fmt.Errorf("%w: %w", ErrHandshake, err)
		}
	}
	// Whoever raised the level set a deadline, before that one or after it.
	if c.level.Load() >= levelStop {
		return ErrServerClosed
	}
	if proxied {
		if err := k.readProxy(c); err != nil {
			return fmt.Errorf("%w: PROXY header: %w", ErrHandshake, err)
		}
	}
	if k.tls != nil {
		if err := k.tls.accept(c); err != nil {
			return fmt.Errorf("%w: TLS: %w", ErrHandshake, err)
		}
	}
	if k.conf.HandshakeTimeout > 0 {
		if err := c.sock.SetDeadline(time.Time{}); err != nil {
			return fmt.Errorf("%w: %w", ErrHandshake, err)
		}
	}
	if c.level.Load() >= levelStop {
		return ErrServerClosed
	}
	return nil
}

// finished closes a connection whose handler has returned, and accounts for it.
func (k *core) finished(ctx context.Context, c *Conn, err error) {
	e := judge(err)
	c.linger(e)
	k.free(c)
	_ = c.conn.Close()
	k.tell(ctx, c, e, err)
	k.remove(c)
	k.count.finished.Add(1)
	if k.after != nil {
		k.after(c, e)
	}
}

// settle takes a connection from the books that was closed elsewhere.
func (k *core) settle(c *Conn) {
	k.free(c)
	k.remove(c)
	k.count.finished.Add(1)
}

// tell counts how a connection ended, and reports what somebody should see.
func (k *core) tell(ctx context.Context, c *Conn, e ending, err error) {
	k.tally(e)
	if (e == endedFailed || e == endedPanic || e == endedRefused) && k.onError != nil {
		k.onError(ctx, c.remote, err)
	}
}

func (k *core) tally(e ending) {
	switch e {
	case endedHangup:
		k.count.hangups.Add(1)
	case endedTimeout:
		k.count.timedOut.Add(1)
	case endedRefused:
		k.count.refused.Add(1)
	case endedFailed:
		k.count.failed.Add(1)
	case endedPanic:
		k.count.panicked.Add(1)
		k.count.failed.Add(1)
	case endedWell, endedClosed:
	}
}

// Bounds of a lingering close.
const (
	lingerTime  = 500 * time.Millisecond
	lingerBytes = 1 << 20
)

// linger makes a connection ready to be closed. If the client has sent what nobody
// read, the kernel would answer the close with a reset, which can destroy the reply
// before the client has read it: then the sending side is closed first, and the rest
// discarded for a moment.
func (c *Conn) linger(e ending) {
	if c.lent() {
		c.release()
	}
	if c.level.Load() < levelStop && e != endedHangup && e != endedTimeout && c.conn == c.sock && !c.ended {
		lent, buf := borrow(true)
		n, _ := c.readNow(buf)
		if n > 0 && c.CloseWrite() == nil {
			_ = c.sock.SetReadDeadline(time.Now().Add(lingerTime))
			for total := n; total < lingerBytes; total += n {
				var err error
				if n, err = c.sock.Read(buf); err != nil {
					break
				}
			}
		}
		copyBuffers.Put(lent)
	}
}

func (c *Conn) lent() bool { return c.reading.lent != nil }

// isEOF notes that the client has ended its sending side.
func (c *Conn) isEOF(err error) {
	if errors.Is(err, io.EOF) {
		c.ended = true
	}
}

func errGoexit(c *Conn) error {
	return fmt.Errorf("connection of %s: %w", c, tristrand.ErrGoexit)
}

// start runs c on a strand of its own.
func (k *core) start(ctx context.Context, c *Conn, kind strand.Kind) {
	name := "conn " + c.String()
	c.strand.Store(&name)
	strand.Go(ctx, strand.Options{Kind: kind, Name: name}, c.run)
}
