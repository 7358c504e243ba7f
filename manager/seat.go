package manager

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"github.com/tristrand/tristrand/internal/mpwire"
)

// A seat is a session's connection whose requests the server's loop reads and,
// if they need not wait, answers. What has to wait, or takes long, is left to the
// session's own goroutine: while that is at it the loop looks only whether the
// client is there.
type seat struct {
	l             *loop
	id            uint64
	fd            int // does not block
	local, remote net.Addr
	patience      time.Duration // for a client that does not read; 0 or less is no bound

	r *mpwire.Reader // of whoever has the turn

	// one does a request, and returns what is left of it for the session's
	// goroutine; with errLater the turn is with who answers it. After the last that has come, flush sends what there is to send;
	// nil does nothing.
	one   func(data []byte) (rest func() error, err error)
	flush func() (rest func() error, err error)

	rest     chan func() error // for the session's goroutine
	readable chan struct{}     // something has come, while its goroutine has the turn
	room     chan struct{}     // there may be room to write

	full bool // the last read filled its buffer; of whoever has the turn
	wait bool // reads wait: the session's goroutine reads

	mu      sync.Mutex // guards the rest
	taken   bool       // somebody has the turn
	pending bool       // something has come meanwhile
	gone    bool       // the peer hung up
	closed  bool
	cancel  func(cause error) // of the call that waits
}

// errNotNow says that a read or write would have to wait.
var errNotNow = errors.New("not now")

// newSeat takes a connection off the runtime, to be watched by l. r reads from
// it, and may have read. The caller has the turn.
func newSeat(l *loop, c net.Conn, r *mpwire.Reader, patience time.Duration) (*seat, error) {
	fd, err := takeFD(c)
	if err != nil {
		return nil, err
	}
	st := &seat{
		l: l, fd: fd, local: c.LocalAddr(), remote: c.RemoteAddr(), patience: patience, r: r, taken: true,
		rest: make(chan func() error, 1), readable: make(chan struct{}, 1), room: make(chan struct{}, 1),
	}
	if err := l.add(st); err != nil {
		return nil, errors.Join(err, closeFD(fd))
	}
	r.From(st)
	return st, nil
}

// attend does what is left to the session's goroutine, until the session is over.
func (st *seat) attend() error {
	rest := st.serve(false)
	for {
		if rest == nil {
			rest = <-st.rest // the loop sends one at the latest when the peer is gone
		}
		if err := rest(); err != nil {
			return err
		}
		rest = st.serve(false)
	}
}

// event is told what the kernel says, by the loop.
func (st *seat) event(bits uint32) {
	st.mu.Lock()
	var cancel func(error)
	if isGone(bits) {
		st.gone, cancel = true, st.cancel
	}
	taken := st.taken
	st.taken, st.pending = true, st.pending || taken
	st.mu.Unlock()
	if cancel != nil {
		cancel(errGone)
	}
	signal(st.room) // for who writes, with the turn or without it
	if taken {
		signal(st.readable)
		return
	}
	if rest := st.serve(true); rest != nil {
		st.l.handed.Store(true)
		st.rest <- rest // nobody else has the turn: there is room
	}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// rounds bounds a turn on the loop: others wait.
const rounds = 16

// serve does what has come. The caller has the turn, and keeps it if something is
// left that only the session's goroutine may do.
func (st *seat) serve(onLoop bool) (rest func() error) {
	for i := 1; ; i++ {
		st.full = false
		err := st.r.Fill()
		if errors.Is(err, io.ErrShortBuffer) || errors.Is(err, errNotNow) {
			err = nil
		}
		for err == nil && st.r.HasFrame() {
			var data []byte
			if data, err = st.r.Next(); err == nil {
				if rest, err = st.one(data); rest != nil || errors.Is(err, errLater) {
					return rest
				}
			}
		}
		if err == nil && st.flush != nil {
			if rest, err = st.flush(); rest != nil {
				return rest
			}
		}
		if err != nil {
			return func() error { return err }
		}
		if st.r.Large() {
			return st.large
		}
		late := onLoop && i == rounds
		if up := st.rise(late); up || late {
			if !up {
				st.l.again(st)
			}
			return nil
		}
	}
}

// rise gives the turn up, unless something has come, or in any case. It reports
// whether nothing has.
func (st *seat) rise(anyway bool) bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	more := st.full || st.pending || st.gone
	st.pending = false
	st.taken = more && !anyway
	return !more
}

// large reads a request that does not fit the buffer, and does it.
func (st *seat) large() error {
	st.wait = true
	data, err := st.r.Next()
	st.wait = false
	if err != nil {
		return err
	}
	rest, err := st.one(data)
	if rest != nil {
		return rest()
	}
	return err
}

// Read reads what there is, or fails with errNotNow where it must not wait. It is
// for whoever has the turn.
func (st *seat) Read(p []byte) (int, error) {
	for {
		n, err := tryRead(st.fd, p)
		switch {
		case errors.Is(err, errNotNow) && st.wait:
			<-st.readable // or gone: then the next read says so
			continue
		case err == nil && n == 0:
			err = io.EOF
		}
		st.full = n == len(p)
		return n, err
	}
}

// try writes what there is room for.
func (st *seat) try(b []byte) (int, error) {
	n, err := tryWrite(st.fd, b)
	if errors.Is(err, errNotNow) {
		err = nil
	}
	return n, err
}

// send writes a reply, or what there is room for: rest writes the rest.
func (st *seat) send(b []byte) (rest func() error, err error) {
	n, err := st.try(b)
	if n == len(b) || err != nil {
		return nil, err
	}
	left := append([]byte(nil), b[n:]...)
	return func() error {
		_, err := st.Write(left)
		return err
	}, nil
}

// Write writes all of b, and waits for room. It is for one goroutine at a time,
// not the loop's.
func (st *seat) Write(b []byte) (int, error) {
	done, err := tryWrite(st.fd, b)
	if err == nil && done == len(b) || err != nil && !errors.Is(err, errNotNow) {
		return done, err
	}
	if err := st.l.wantRoom(st, true); err != nil {
		return done, err
	}
	defer func() { _ = st.l.wantRoom(st, false) }() // a few events more do no harm
	var late <-chan time.Time
	if st.patience > 0 {
		timer := time.NewTimer(st.patience)
		defer timer.Stop()
		late = timer.C
	}
	for done < len(b) {
		n, err := tryWrite(st.fd, b[done:])
		done += n
		if err != nil && !errors.Is(err, errNotNow) {
			return done, err
		}
		if done == len(b) {
			break
		}
		select {
		case <-st.room:
		case <-late:
			return done, os.ErrDeadlineExceeded
		}
	}
	return done, nil
}

// waits has cancel called when the peer is gone; nil: no more. It reports whether
// the peer is gone.
func (st *seat) waits(cancel func(cause error)) bool {
	st.mu.Lock()
	st.cancel = cancel
	gone := st.gone
	st.mu.Unlock()
	if gone && cancel != nil {
		cancel(errGone)
	}
	return gone
}

// Close hangs up: the session sees it and ends.
func (st *seat) Close() error {
	st.mu.Lock()
	defer st.mu.Unlock()
	if !st.closed {
		hangUp(st.fd)
	}
	return nil
}

// end closes the connection. The caller is the session's goroutine, and it is the
// last thing that it does with it.
func (st *seat) end() {
	st.l.remove(st)
	st.mu.Lock()
	defer st.mu.Unlock()
	st.closed = true
	_ = closeFD(st.fd) // what was written has been taken by the kernel
}
