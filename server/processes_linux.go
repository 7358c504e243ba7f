package server

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync"
	"time"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/internal/child"
)

// Bounds of the work with worker processes.
const (
	maxInFlight  = 64               // descriptors that were sent to a worker and not yet taken
	maxTries     = 3                // workers that a connection is handed to
	readyTime    = 30 * time.Second // for a worker to become ready
	sendTime     = 5 * time.Second  // for a worker to read what it is sent
	leaveTime    = 2 * time.Second  // for a worker to leave
	restartPause = 100 * time.Millisecond
	refillPause  = 3 * time.Millisecond
	lossPause    = time.Second // until a worker without descriptors is tried again
	stderrTail   = 4096
)

// processes is the engine of worker processes.
type processes struct {
	base    context.Context //nolint:containedctx // of the reports; the room ends it
	room    *room
	model   Processes
	setup   []byte
	packets *os.File // the socket of datagrams, for the workers; nil for streams

	mu      sync.Mutex // guards the rest
	changed *sync.Cond
	workers []*procWorker
	booting int // workers that are being started
	names   int
	next    int // where to look first for a worker, so that all have their turn
	level   int32
	closed  bool
	waits   int // connections that wait for a worker

	tasks sync.WaitGroup // of starting, of watching, of handing over anew
}

func (m Processes) open(base context.Context, r *room) (engine, error) {
	name, ok := r.s.Handler.(*namedHandler)
	switch {
	case !ok:
		return nil, fmt.Errorf("server: the model Processes needs a Handler with a name, as server.Handle returns it: %w", tristrand.ErrNotPortable)
	case r.s.TLS != nil:
		return nil, fmt.Errorf("server: a TLS config cannot go to worker processes: use CertFile, KeyFile and ClientCAFile: %w", tristrand.ErrNotPortable)
	}
	e := &processes{base: base, room: r, model: m}
	e.changed = sync.NewCond(&e.mu)
	if e.model.Workers == 0 {
		e.model.Workers = runtime.GOMAXPROCS(0)
	}
	if t := r.core.tls; t != nil {
		if _, err := rand.Read(t.files.Tickets[:]); err != nil {
			return nil, err
		}
	}
	s := newSetup(r, name.name, m.PerConnection)
	var err error
	if e.setup, err = s.encode(); err != nil {
		return nil, err
	}
	if err := e.sockets(); err != nil {
		return nil, err
	}
	if err := e.startAll(); err != nil {
		return nil, errors.Join(err, e.close())
	}
	return e, nil
}

// sockets makes the server's sockets give descriptors.
func (e *processes) sockets() error {
	if p, ok := e.room.sources[0].(*packets); ok {
		f, ok := p.conn.(interface{ File() (*os.File, error) })
		if !ok {
			return fmt.Errorf("server: %T gives no descriptor to hand to processes", p.conn)
		}
		var err error
		e.packets, err = f.File()
		return err
	}
	for _, src := range e.room.sources {
		l, ok := src.(*listener)
		if !ok {
			return errors.New("server: streams and datagrams do not mix")
		}
		raw, err := newRawListener(l, e.room.s.KeepAlive)
		if err != nil {
			return err
		}
		l.Listener = raw
	}
	return nil
}

// startAll starts the workers, two at a time, and waits until they are ready.
func (e *processes) startAll() error {
	errs := make(chan error, e.model.Workers)
	e.mu.Lock()
	e.booting = e.model.Workers
	e.mu.Unlock()
	turns := make(chan struct{}, 2)
	for range e.model.Workers {
		e.tasks.Go(func() {
			turns <- struct{}{}
			errs <- e.start()
			<-turns
		})
	}
	var all error
	for range e.model.Workers {
		if err := <-errs; err != nil {
			all = err // they are alike
		}
	}
	return all
}

// start starts one worker and waits until it is ready. booting counts it already, and
// still does after an error.
func (e *processes) start() (err error) {
	w := &procWorker{e: e, conns: make(map[uint64]*handing), begun: time.Now()}
	e.mu.Lock()
	e.names++
	w.name = fmt.Sprintf("server worker %d", e.names)
	e.mu.Unlock()
	defer func() {
		e.mu.Lock()
		if err == nil {
			e.booting--
			e.workers = append(e.workers, w)
			e.tasks.Go(w.watch)
		}
		late, level := e.closed, e.level
		e.mu.Unlock()
		e.changed.Broadcast()
		switch {
		case err != nil:
		case late: // close does not know of it
			_ = w.child.KillGroup()
		case level > levelOpen:
			w.tell([]byte{opLevel, byte(level)})
		}
	}()
	ours, theirs, err := newChannels()
	if err != nil {
		return err
	}
	w.ch = ours
	files := []*os.File{theirs}
	if e.packets != nil {
		files = append(files, e.packets)
	}
	if err := w.ch.send(e.setup, -1); err != nil { // it finds it when it comes to life
		_ = theirs.Close()
		w.ch.close()
		return err
	}
	w.child, err = child.Start(e.base, child.Spec{
		Name: w.name, Args: workerKind.Args(), Files: files, Tail: stderrTail, MemoryLimitBytes: e.model.MemoryLimitBytes,
	})
	_ = theirs.Close()
	if err != nil {
		w.ch.close()
		return fmt.Errorf("server: starting a worker process: %w", err)
	}
	if err := w.awaitReady(); err != nil {
		_ = w.child.KillGroup()
		<-w.child.Done()
		w.ch.close()
		return fmt.Errorf("server: a worker process did not become ready: %w (%v)", err, w.child.Exit())
	}
	return nil
}

// serve hands c over. It waits while no worker has room.
func (e *processes) serve(_ context.Context, c *Conn) { e.hand(&handing{c: c}) }

func (e *processes) hand(h *handing) {
	for {
		w, last := e.pick(h)
		if w == nil { // the server stops
			e.drop(h, endedClosed)
			return
		}
		err := w.send(h)
		if last {
			e.replace()
		}
		if err == nil {
			return
		}
		// It is on its way out; watch sees to those that it had, and knows of this one
		// if it was faster.
		if !w.withdraw(h) {
			return
		}
	}
}

// drop ends a connection that no worker has.
func (e *processes) drop(h *handing, how ending) {
	_ = h.c.sock.Close()
	k := e.room.core
	k.tally(how)
	k.settle(h.c)
}

// pick waits for a worker with room, and counts h as its own, and its last one if so.
// It returns nil when the server stops.
func (e *processes) pick(h *handing) (w *procWorker, last bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.waits++
	defer func() { e.waits-- }()
	for {
		if e.level >= levelStop || e.closed {
			return nil, false
		}
		var best *procWorker
		n := len(e.workers)
		for i := range n {
			w := e.workers[(e.next+i)%n]
			if w.room() && (best == nil || len(w.conns) < len(best.conns)) {
				best = w
			}
		}
		if best != nil {
			e.next++
			return best, best.take(h)
		}
		e.refill()
		e.changed.Wait()
	}
}

// refill starts workers for those that retire. e.mu is held.
func (e *processes) refill() {
	fit := e.booting
	for _, w := range e.workers {
		if !w.retiring {
			fit++
		}
	}
	for ; fit < e.model.Workers && !e.closed && e.level < levelStop; fit++ {
		e.booting++
		e.tasks.Go(e.restart)
	}
}

// ready counts the workers that can be given connections. e.mu is held.
func (e *processes) ready() (n int) {
	for _, w := range e.workers {
		if w.room() {
			n++
		}
	}
	return n
}

// replace is refill for one that has its last connection. While others are ready, the
// start of a process waits for a moment, so as not to take the processor from that
// connection.
func (e *processes) replace() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.ready() <= e.model.Workers/2 {
		e.refill()
		return
	}
	time.AfterFunc(refillPause, func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.refill()
	})
}

// restart starts a worker; when it cannot, it reports that, and those who wait try
// again after a pause.
func (e *processes) restart() {
	err := e.start()
	if err == nil {
		return
	}
	if !e.stopping() {
		e.room.core.onError(e.base, nil, err)
		time.Sleep(restartPause) // it counts as booting meanwhile, so that nobody tries at once
	}
	e.mu.Lock()
	e.booting--
	e.mu.Unlock()
	e.changed.Broadcast()
}

func (e *processes) stopping() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.closed || e.level >= levelStop
}

// again hands connections over anew that a worker was sent and did not take.
func (e *processes) again(all []*handing, why error) {
	for _, h := range all {
		if h.tries >= maxTries {
			e.room.core.onError(e.base, h.c.remote, fmt.Errorf("server: given up after %d workers: %w", h.tries, why))
			e.drop(h, endedFailed)
			continue
		}
		e.tasks.Go(func() { e.hand(h) })
	}
}

// raise tells the workers how far the shutdown has come; at the cut they are
// killed.
func (e *processes) raise(level int32) {
	e.mu.Lock()
	e.level = max(e.level, level)
	all := append([]*procWorker(nil), e.workers...)
	e.mu.Unlock()
	e.changed.Broadcast()
	for _, w := range all {
		if level >= levelCut {
			_ = w.child.KillGroup()
			continue
		}
		w.tell([]byte{opLevel, byte(level)})
	}
}

// close ends the workers and waits for them.
func (e *processes) close() error {
	e.mu.Lock()
	e.closed = true
	all := append([]*procWorker(nil), e.workers...)
	e.mu.Unlock()
	e.changed.Broadcast()
	for _, w := range all {
		e.tasks.Go(func() {
			_ = w.ch.conn.SetWriteDeadline(time.Now().Add(leaveTime))
			_ = w.ch.send([]byte{opEnd}, -1)
			t := time.AfterFunc(leaveTime, func() { _ = w.child.KillGroup() })
			<-w.child.Done()
			t.Stop()
		})
	}
	e.tasks.Wait()
	if e.packets != nil {
		_ = e.packets.Close()
	}
	return nil
}
