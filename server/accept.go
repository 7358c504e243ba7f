package server

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"os"
	"time"

	"github.com/tristrand/tristrand/strand"
)

// Bounds of the pause after an Accept that failed.
const (
	minPause = 5 * time.Millisecond
	maxPause = time.Second
)

// accept takes clients from a source until the room stops.
func (r *room) accept(base context.Context, src source) {
	var err error
	switch src := src.(type) {
	case *listener:
		if own, ok := r.engine.(accepter); ok {
			err = own.accept(base, src)
		} else {
			err = r.acceptConns(base, src)
		}
	case *packets:
		err = r.receive(base, src)
	}
	if err != nil {
		r.broken <- err
	}
}

// stopping reports whether no more clients are wanted.
func (r *room) stopping() bool {
	select {
	case <-r.stop:
		return true
	default:
		return false
	}
}

// slot takes a place for a client, and reports whether there is one.
func (r *room) slot(ctx context.Context, stop <-chan struct{}) (ok bool) {
	if r.core.slots == nil || r.s.WhenFull == Refuse || r.core.slots.try() {
		return true
	}
	r.wait(ctx, "a place for a client", func() { ok = r.core.slots.take(stop) })
	return ok
}

func (r *room) giveSlot() {
	if r.core.slots != nil && r.s.WhenFull != Refuse {
		r.core.slots.give()
	}
}

func (r *room) acceptConns(base context.Context, l *listener) error {
	var wait pause
	for !r.stopping() && r.slot(base, r.stop) {
		sock, err := l.Accept()
		if err == nil {
			wait = 0
			r.admit(base, sock)
			continue
		}
		r.giveSlot()
		if r.stopping() {
			break
		}
		if fatal(err) {
			return fmt.Errorf("server: the listening socket is broken: %w", err)
		}
		r.acceptFailed(base, err, &wait)
	}
	r.acceptRest(base, l)
	return nil
}

// acceptRest takes those who were in the kernel's queue when the server was to
// stop: they have been told that they are connected. The queue of a socket that
// was passed on stays for whoever has it next.
func (r *room) acceptRest(base context.Context, l *listener) {
	deadline, ok := l.Listener.(deadliner)
	if !ok || l.passedOn {
		return
	}
	most, open := maxRest, true
	if l.ours && closeQueue(l.control()) {
		most, open = math.MaxInt, false
	}
	for taken := 0; taken < most; taken++ {
		if !r.slot(base, r.hurry) {
			return
		}
		if open && queueEmpty(l.control()) {
			r.giveSlot()
			return
		}
		sock, err := r.acceptNow(l, deadline)
		switch {
		case err == nil:
			r.admit(base, sock)
		case errors.Is(err, os.ErrDeadlineExceeded) || fatal(err):
			r.giveSlot()
			return
		case passing(err):
			r.giveSlot()
			_ = strand.Yield(base)
		default: // no descriptors are left, until somebody ends
			r.giveSlot()
			taken--
			r.wait(base, "descriptors", func() { r.restful(minPause) })
		}
	}
}

// restful waits for d, or until nobody waits for the draining any more.
func (r *room) restful(d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-r.hurry:
	}
}

// acceptNow takes one who is in the queue; os.ErrDeadlineExceeded says that nobody
// is, or that there is no time. The interrupt that the server's end has for an Accept may
// come late, and ends then one of these, even if somebody is there: one says nothing.
func (r *room) acceptNow(l *listener, deadline deadliner) (sock net.Conn, err error) {
	for range 2 {
		select {
		case <-r.hurry:
			return nil, os.ErrDeadlineExceeded
		default:
		}
		if err := deadline.SetDeadline(time.Now().Add(restTime)); err != nil {
			return nil, net.ErrClosed
		}
		if sock, err = l.Accept(); !errors.Is(err, os.ErrDeadlineExceeded) {
			break
		}
	}
	return sock, err
}

const (
	// restTime is how long the last Accept waits for a handshake to come to its end.
	restTime = 10 * time.Millisecond

	// maxRest is how many are taken where more may come all the time: as many as
	// the queue holds at most.
	maxRest = 4096
)

// fatal reports whether no other Accept can succeed.
func fatal(err error) bool {
	return errors.Is(err, net.ErrClosed) || brokenSocket(err)
}

// A pause is what passes between two Accepts that fail.
type pause time.Duration

// acceptFailed reports the first of a row of failures, and waits: twice as long
// each time, and until one of our connections ends, which frees its descriptor.
func (r *room) acceptFailed(base context.Context, err error, p *pause) {
	r.core.count.acceptErrors.Add(1)
	if passing(err) {
		return // it was the client's: gone before we came
	}
	if *p == 0 {
		r.core.onError(base, nil, fmt.Errorf("server: Accept: %w%s; trying again", err, acceptHint(err)))
		*p = pause(minPause)
	}
	r.wait(base, "descriptors", func() { r.untilFreed(time.Duration(*p)) })
	*p = pause(min(2*time.Duration(*p), maxPause))
}

// untilFreed waits until a connection has ended, for d at most.
func (r *room) untilFreed(d time.Duration) {
	before := r.core.count.finished.Load()
	end := time.Now().Add(d)
	for time.Now().Before(end) && !r.stopping() && r.core.count.finished.Load() == before {
		t := time.NewTimer(minPause)
		select {
		case <-t.C:
		case <-r.stop:
			t.Stop()
		}
	}
}

// admit makes a connection of a socket, and has it served unless it is refused.
func (r *room) admit(base context.Context, sock net.Conn) {
	k := r.core
	k.count.accepted.Add(1)
	if a := r.s.Admit; a != nil {
		if err := a(sock.RemoteAddr()); err != nil {
			r.giveSlot()
			r.refuse(sock)
			return
		}
	}
	if k.slots != nil && r.s.WhenFull == Refuse && !k.slots.try() {
		r.refuse(sock)
		return
	}
	c := &Conn{}
	c.init(k, sock, sock.RemoteAddr(), sock.LocalAddr())
	if err := k.add(c); err != nil {
		if k.slots != nil {
			k.slots.give()
		}
		r.refuse(sock)
		return
	}
	r.engine.serve(base, c)
}
