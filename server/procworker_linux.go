package server

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/tristrand/tristrand/internal/child"
)

// A procWorker is a worker process.
type procWorker struct {
	e     *processes
	name  string
	ch    channel
	child *child.Child
	begun time.Time

	sending sync.Mutex

	// Guarded by e.mu.
	conns    map[uint64]*handing
	flying   int // descriptors that it has not taken
	served   int
	retiring bool      // no more connections
	most     int       // connections that it had when a descriptor did not arrive; 0: all have
	until    time.Time // when one more than that may be tried
}

// A handing is a connection that was given to a worker.
type handing struct {
	c     *Conn
	taken bool
	tries int
}

func (w *procWorker) awaitReady() error {
	_ = w.ch.conn.SetReadDeadline(time.Now().Add(readyTime))
	buf := make([]byte, maxPacket)
	p, _, err := w.ch.receive(buf, nil)
	switch {
	case err != nil:
		return err
	case p[0] == opError:
		return errors.New(string(p[1:]))
	case p[0] != opReady:
		return errPacket
	}
	return w.ch.conn.SetReadDeadline(time.Time{})
}

// room reports whether the worker can be given a connection. e.mu is held.
func (w *procWorker) room() bool {
	m := &w.e.model
	switch {
	case w.retiring, w.flying >= maxInFlight:
		return false
	case m.PerConnection:
		return w.served == 0
	case w.most > 0 && len(w.conns) >= w.most && time.Now().Before(w.until):
		return false
	}
	return m.PerWorker == 0 || len(w.conns) < m.PerWorker
}

// take counts h as the worker's, and reports whether it is the last one that it gets.
// e.mu is held.
func (w *procWorker) take(h *handing) bool {
	w.conns[h.c.id] = h
	w.flying++
	w.served++
	h.taken = false
	h.tries++
	h.c.pid.Store(int64(w.child.PID()))
	if w.most > 0 && len(w.conns) > w.most { // the one to try with
		w.most, w.until = len(w.conns), time.Now().Add(lossPause)
	}
	m := &w.e.model
	last := m.PerConnection || m.MaxServed > 0 && w.served >= m.MaxServed
	w.retiring = last
	return last
}

// send sends a connection to the worker.
func (w *procWorker) send(h *handing) error {
	w.sending.Lock()
	defer w.sending.Unlock()
	c := h.c
	var data []byte
	if p, ok := c.sock.(*packet); ok {
		data = make([]byte, p.data.Len())
		_, _ = p.data.ReadAt(data, 0)
	}
	c.core.mu.Lock()
	remote, local := c.remote, c.local
	c.core.mu.Unlock()
	buf := make([]byte, 0, 128+len(data))
	buf = appendConn(buf, c.id, c.since, remote, local, data)
	_ = w.ch.conn.SetWriteDeadline(time.Now().Add(sendTime))
	s, ok := c.sock.(*handed)
	if !ok {
		return w.ch.send(buf, -1)
	}
	return s.lend(func(fd int) error { return w.ch.send(buf, fd) })
}

// full is called when n descriptors did not arrive: all of the worker's are in use.
// It gets as many connections as it has now, and one more now and then to see whether
// that has changed; others wait, as they do for a server that is out of descriptors
// itself. It returns what to report, once. e.mu is held.
func (w *procWorker) full() error {
	first := w.most == 0
	w.most, w.until = max(1, len(w.conns)-w.flying), time.Now().Add(lossPause)
	time.AfterFunc(lossPause, w.e.changed.Broadcast)
	if !first {
		return nil
	}
	return fmt.Errorf("%s: %w; it gets no more than %d connections for now", w.name, errLost, w.most)
}

// withdraw takes a connection back that could not be sent: false if watch had taken
// it.
func (w *procWorker) withdraw(h *handing) bool {
	_ = w.child.KillGroup()
	w.e.mu.Lock()
	defer w.e.mu.Unlock()
	w.retiring = true
	if w.conns[h.c.id] != h {
		return false
	}
	delete(w.conns, h.c.id)
	w.flying--
	return true
}

// watch reads what the worker says to its end, and sees to what it leaves behind.
func (w *procWorker) watch() {
	buf := make([]byte, maxPacket)
	for {
		p, _, err := w.ch.receive(buf, nil)
		if err != nil || !w.hear(p) {
			break
		}
	}
	w.e.mu.Lock()
	w.retiring = true
	closing := w.e.closed || w.e.model.PerConnection && len(w.conns) == 0
	w.e.mu.Unlock()
	if closing {
		<-w.child.Done()
	} else { // mostly it has ended; if not, it says nothing any more
		t := time.AfterFunc(leaveTime, func() { _ = w.child.KillGroup() })
		<-w.child.Done()
		t.Stop()
	}
	w.ch.close()
	w.bury()
}

// hear acts on a packet, and reports whether it made sense.
func (w *procWorker) hear(p []byte) bool {
	if p[0] == opError {
		r, remote, err := decodeReport(p)
		if err == nil {
			w.e.room.core.onError(w.e.base, remote, r.err())
		}
		return err == nil
	}
	if p[0] == opName {
		return w.named(p)
	}
	if (len(p)-1)%recordBytes != 0 {
		return false
	}
	var over []*Conn
	var how []ending
	var lost, got []*handing
	e := w.e
	e.mu.Lock()
	for r := p[1:]; len(r) > 0; r = r[recordBytes:] {
		seq := binary.LittleEndian.Uint64(r)
		h := w.conns[seq]
		if h == nil {
			continue
		}
		switch p[0] {
		case opGot:
			if !h.taken {
				h.taken = true
				w.flying--
				w.until = time.Time{}
				got = append(got, h)
			}
		case opLost:
			delete(w.conns, seq)
			w.flying--
			h.tries--
			lost = append(lost, h)
		case opDone:
			delete(w.conns, seq)
			over, how = append(over, h.c), append(how, ending(r[8]))
		}
	}
	var poor error
	if len(lost) > 0 {
		poor = w.full()
	}
	waits := e.waits > 0
	leave := w.retiring && len(w.conns) == 0 && (!e.model.PerConnection || len(lost) > 0)
	e.mu.Unlock()
	if poor != nil {
		e.room.core.onError(e.base, nil, poor)
	}
	for _, h := range got {
		_ = h.c.sock.Close() // the worker's is the only one
	}
	for i, c := range over {
		e.room.core.tally(how[i])
		e.room.core.settle(c)
	}
	e.again(lost, errLost)
	if leave {
		w.tell([]byte{opEnd})
	}
	if waits {
		e.changed.Broadcast()
	}
	return true
}

// bury sees to what a worker that has ended leaves behind.
func (w *procWorker) bury() {
	e, exit := w.e, w.child.Exit()
	e.mu.Lock()
	for i, x := range e.workers {
		if x == w {
			e.workers = append(e.workers[:i], e.workers[i+1:]...)
			break
		}
	}
	var anew []*handing
	var crashed []*Conn
	for seq, h := range w.conns {
		delete(w.conns, seq)
		if h.taken {
			crashed = append(crashed, h.c)
		} else {
			anew = append(anew, h)
		}
	}
	stopping := e.closed || e.level >= levelStop
	pause := !stopping && w.served == 0 && time.Since(w.begun) < time.Second
	e.mu.Unlock()
	k := e.room.core
	err := exitError(w.name, exit)
	for _, c := range crashed {
		if !stopping {
			k.count.crashed.Add(1)
			k.tally(endedFailed)
			k.onError(e.base, c.remote, err)
		}
		_ = c.sock.Close()
		k.settle(c)
	}
	if exit.Kind != child.Clean && len(crashed) == 0 && !stopping {
		k.onError(e.base, nil, err)
	}
	e.again(anew, err)
	if pause {
		time.Sleep(restartPause)
	}
	e.mu.Lock()
	if !e.closed {
		e.refill()
	}
	e.mu.Unlock()
	e.changed.Broadcast()
}

// tell sends a worker a word; one that does not read it is killed.
func (w *procWorker) tell(p []byte) {
	w.sending.Lock()
	defer w.sending.Unlock()
	_ = w.ch.conn.SetWriteDeadline(time.Now().Add(sendTime))
	if w.ch.send(p, -1) != nil {
		_ = w.child.KillGroup()
	}
}

var _ net.Conn = (*handed)(nil)
