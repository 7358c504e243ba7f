package coro

import (
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/tristrand/tristrand/strand"
)

// A poller is a hub's epoll instance. It is itself waited for by the Go runtime's
// poller, so that a hub at rest costs no thread and is woken by a deadline that
// has passed, without a system call.
type poller struct {
	h     *Hub
	fd    int
	file  *os.File
	raw   syscall.RawConn
	users atomic.Int64 // strands that wait for a conn

	mu     sync.Mutex // guards the rest
	descs  map[int32]*desc
	next   int32 // generation
	closed bool

	events [256]syscall.EpollEvent // of the hub's turn
	n      int
}

// polls returns the hub's poller, made by the first call, on its turn.
func (h *Hub) polls() (*poller, error) {
	if h.net != nil {
		return h.net, nil
	}
	if h.bubble || h.outer != nil {
		return nil, errors.New("coro: a hub in a synctest bubble or under another scheduler has no conns; use net.Pipe and Await")
	}
	fd, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	if err := syscall.SetNonblock(fd, true); err != nil {
		_ = syscall.Close(fd)
		return nil, os.NewSyscallError("fcntl", err)
	}
	p := &poller{h: h, fd: fd, file: os.NewFile(uintptr(fd), "epoll"), descs: make(map[int32]*desc)}
	p.raw, err = p.file.SyscallConn()
	if err == nil {
		err = p.file.SetReadDeadline(time.Time{})
	}
	if err != nil {
		_ = p.file.Close()
		return nil, fmt.Errorf("coro: the runtime cannot wait for an epoll descriptor: %w", err)
	}
	h.net = p
	return p, nil
}

// sleeps reports whether the hub is to rest in the poller.
func (p *poller) sleeps() bool { return true }

// sleep waits for an event, the next timer, or wake. It runs on the hub's base.
func (p *poller) sleep(h *Hub) {
	var at time.Time
	d, check, ok := h.next()
	if ok {
		at = time.Now().Add(d)
	}
	// The deadline is set before anybody may call wake: h.polling is set, but
	// whoever posted since has cleared it, and is seen here.
	_ = p.file.SetReadDeadline(at)
	if h.posted.Load() {
		return
	}
	err := p.raw.Read(func(uintptr) bool {
		p.wait()
		return p.n != 0 || h.posted.Load()
	})
	if p.n != 0 {
		p.deliver()
	} else if check && errors.Is(err, os.ErrDeadlineExceeded) && !h.posted.Load() {
		h.despair()
	}
}

// wake ends a sleep from outside.
func (p *poller) wake() { _ = p.file.SetReadDeadline(time.Unix(1, 0)) }

// poll looks for events without waiting.
func (p *poller) poll(*Hub) {
	if p.wait(); p.n != 0 {
		p.deliver()
	}
}

// wait fills events, without waiting.
func (p *poller) wait() {
	n, err := epollNow(p.fd, p.events[:])
	if err != nil {
		n = 0
	}
	p.n = n
}

// deliver wakes those who wait for what has happened.
func (p *poller) deliver() {
	p.mu.Lock()
	var woken [len(p.events)]*desc
	for i, e := range p.events[:p.n] {
		if d := p.descs[e.Fd]; d != nil && d.gen == e.Pad {
			woken[i] = d
		}
	}
	p.mu.Unlock()
	for i, e := range p.events[:p.n] {
		if d := woken[i]; d != nil {
			d.happened(e.Events)
		}
	}
	p.n = 0
}

const (
	inEvents  = syscall.EPOLLIN | syscall.EPOLLRDHUP | syscall.EPOLLHUP | syscall.EPOLLERR
	outEvents = syscall.EPOLLOUT | syscall.EPOLLHUP | syscall.EPOLLERR
	allEvents = syscall.EPOLLIN | syscall.EPOLLOUT | syscall.EPOLLRDHUP | 1<<31 // EPOLLET, by edges
	endEvents = syscall.EPOLLRDHUP | syscall.EPOLLHUP | syscall.EPOLLERR
)

// add makes a desc of fd, which becomes its to close.
func (p *poller) add(fd int, stream bool) (*desc, error) {
	d := &desc{p: p, fd: fd, stream: stream}
	d.w.ready = true
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		_ = syscall.Close(fd)
		return nil, ErrHubEnded
	}
	p.next++
	d.gen = p.next
	p.descs[int32(fd)] = d
	p.mu.Unlock()
	ev := syscall.EpollEvent{Events: allEvents, Fd: int32(fd), Pad: d.gen}
	if err := syscall.EpollCtl(p.fd, syscall.EPOLL_CTL_ADD, fd, &ev); err != nil {
		_ = d.close()
		return nil, os.NewSyscallError("epoll_ctl", err)
	}
	return d, nil
}

func (p *poller) forget(d *desc) {
	p.mu.Lock()
	if p.descs[int32(d.fd)] == d {
		delete(p.descs, int32(d.fd))
	}
	p.mu.Unlock()
}

// close closes what is left open.
func (p *poller) close() {
	p.mu.Lock()
	p.closed = true
	var left []*desc
	for _, d := range p.descs {
		left = append(left, d)
	}
	p.mu.Unlock()
	for _, d := range left {
		_ = d.close()
	}
	_ = p.file.Close()
}

// A desc is a descriptor that does not block.
type desc struct {
	p      *poller
	fd     int
	gen    int32
	stream bool // fewer bytes than asked for mean that there are no more

	mu     sync.Mutex // guards the rest
	r, w   side
	ended  bool // the peer has; every read returns at once
	closed bool
	uses   int // system calls under way
}

// A side is one direction of a desc.
type side struct {
	ready bool // the next call may succeed
	seq   uint64
	busy  bool // a Write is under way, which others wait for
	waits []strand.Wait
	limit limit
}

func (s *side) takeWaits() []strand.Wait {
	all := s.waits
	s.waits = nil
	return all
}

// happened notes events and wakes those who wait for them.
func (d *desc) happened(events uint32) {
	var wake [2][]strand.Wait
	d.mu.Lock()
	if events&endEvents != 0 {
		d.ended = true
	}
	if events&inEvents != 0 {
		d.r.ready = true
		d.r.seq++
		wake[0] = d.r.takeWaits()
	}
	if events&outEvents != 0 {
		d.w.ready = true
		d.w.seq++
		wake[1] = d.w.takeWaits()
	}
	d.mu.Unlock()
	for _, ws := range wake {
		for _, w := range ws {
			w.Grant()
		}
	}
}

// begin prepares a system call on one side: it waits until that may succeed, the
// time is up, or the desc is closed.
func (d *desc) begin(s *side, verb string) (seq uint64, err error) {
	d.mu.Lock()
	for {
		switch {
		case d.closed:
			d.mu.Unlock()
			return 0, errClosed
		case s.limit.up:
			d.mu.Unlock()
			return 0, errTimeout
		case s.ready:
			d.uses++
			seq = s.seq
			d.mu.Unlock()
			return seq, nil
		}
		if err := d.await(s, verb); err != nil {
			return 0, err
		}
	}
}

// await waits for a change of one side. It is called with mu held and, if it
// returns nil, returns with it.
func (d *desc) await(s *side, verb string) error {
	who, ctx := d.p.h.waiter()
	if ctx.Err() != nil {
		d.mu.Unlock()
		return strand.Err(ctx)
	}
	w := who.NewWait()
	s.waits = append(s.waits, w)
	d.mu.Unlock()
	d.p.users.Add(1)
	err := w.Park(ctx, ioWait{d, verb})
	d.p.users.Add(-1)
	d.mu.Lock()
	if err != nil {
		for i, x := range s.waits {
			if x == w {
				s.waits = append(s.waits[:i], s.waits[i+1:]...)
				break
			}
		}
		d.mu.Unlock()
	}
	return err
}

// What a system call has left to be done.
type left uint8

const (
	unknown left = iota // there may be more
	little              // nothing for now, but an end that the peer has made can be read
	nothing             // nothing for now: it said so
)

func leftBy(none, few bool) left {
	switch {
	case none:
		return nothing
	case few:
		return little
	default:
		return unknown
	}
}

// end is called after a system call, with what that has left. Of what has happened
// meanwhile nothing is forgotten. It reports whether the peer has ended.
func (d *desc) end(s *side, seq uint64, l left) (ended bool) {
	d.mu.Lock()
	ended = d.ended
	if s.seq == seq && (l == nothing || l == little && (s != &d.r || !ended)) {
		s.ready = false
	}
	d.uses--
	last := d.closed && d.uses == 0
	d.mu.Unlock()
	if last {
		_ = syscall.Close(d.fd)
	}
	return ended
}

var errClosed = net.ErrClosed

// close makes every call fail, and closes the descriptor after those under way.
func (d *desc) close() error {
	d.mu.Lock()
	if d.closed {
		d.mu.Unlock()
		return errClosed
	}
	d.closed = true
	waits := append(d.r.takeWaits(), d.w.takeWaits()...)
	for _, s := range []*side{&d.r, &d.w} {
		if s.limit.stop != nil {
			s.limit.stop()
		}
	}
	idle := d.uses == 0
	d.mu.Unlock()
	d.p.forget(d)
	_ = syscall.EpollCtl(d.p.fd, syscall.EPOLL_CTL_DEL, d.fd, &syscall.EpollEvent{})
	var err error
	if idle {
		err = os.NewSyscallError("close", syscall.Close(d.fd))
	}
	for _, w := range waits {
		w.Grant()
	}
	return err
}

// setLimit sets the deadline of one side; zero is none.
func (d *desc) setLimit(s *side, at time.Time) error {
	d.mu.Lock()
	if d.closed {
		d.mu.Unlock()
		return errClosed
	}
	s.limit.n++
	n := s.limit.n
	if s.limit.stop != nil {
		s.limit.stop()
	}
	left := time.Until(at)
	s.limit.at, s.limit.up, s.limit.stop = at, !at.IsZero() && left <= 0, nil
	var waits []strand.Wait
	switch {
	case s.limit.up:
		waits = s.takeWaits()
	case !at.IsZero():
		s.limit.stop = d.p.h.After(left, func() { d.expire(s, n) })
	}
	d.mu.Unlock()
	for _, w := range waits {
		w.Grant()
	}
	return nil
}

func (d *desc) expire(s *side, n int) {
	d.mu.Lock()
	var waits []strand.Wait
	if s.limit.n == n {
		s.limit.up = true
		waits = s.takeWaits()
	}
	d.mu.Unlock()
	for _, w := range waits {
		w.Grant()
	}
}

// ioWait is what a strand waits for at a conn.
type ioWait struct {
	d    *desc
	verb string
}

func (w ioWait) String() string { return fmt.Sprintf("%s of descriptor %d", w.verb, w.d.fd) }

// Releasers says that the other side could.
func (ioWait) Releasers(buf []strand.Releaser) ([]strand.Releaser, bool) { return buf, false }
