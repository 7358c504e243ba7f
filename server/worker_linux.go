package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/internal/child"
	"github.com/tristrand/tristrand/internal/kinds"
	"github.com/tristrand/tristrand/internal/wire"
	"github.com/tristrand/tristrand/strand"
)

// workerKind is what process.Init makes of our children.
var workerKind = kinds.Register("server", func(files []*os.File) {
	status := 0
	if err := workerMain(files); err != nil {
		fmt.Fprintln(os.Stderr, err)
		status = 1
	}
	child.Leave()
	os.Exit(status)
})

// lookup returns the handler of a name.
func lookup(name string) (Handler, bool) {
	named.Lock()
	defer named.Unlock()
	n, ok := named.all[name]
	return n, ok
}

// A worker is the life of a worker process.
type worker struct {
	ch      channel
	core    *core
	packets net.PacketConn // for datagrams; nil for streams
	once    bool
	out     outbox
	asking  questions
	cancel  context.CancelCauseFunc
	ended   chan struct{} // closed when its one connection is over
}

// workerMain serves what comes over the channel in files[0] until that is closed, or
// it shall end. files[1], if there is one, is the socket of datagrams.
func workerMain(files []*os.File) error {
	if len(files) == 0 || len(files) > 2 {
		return fmt.Errorf("server: a worker process was given %d files", len(files))
	}
	w := &worker{ended: make(chan struct{})}
	var err error
	if w.ch, err = openChannel(files[0]); err != nil {
		return err
	}
	if len(files) == 2 {
		if w.packets, err = net.FilePacketConn(files[1]); err != nil {
			return err
		}
		_ = files[1].Close()
	}
	buf := make([]byte, maxPacket)
	p, _, err := w.ch.receive(buf, nil)
	if err != nil {
		return nil // the server changed its mind, or is gone
	}
	if err := w.set(p); err != nil {
		_ = w.ch.send(append([]byte{opError}, err.Error()...), -1)
		return err
	}
	w.out.init(w.ch)
	ctx, cancel := context.WithCancelCause(context.Background())
	w.cancel = cancel
	defer cancel(errStopped)
	if w.once {
		w.warm(ctx)
	}
	if err := w.ch.send([]byte{opReady}, -1); err != nil {
		return nil // as above
	}
	return w.serve(ctx, buf)
}

// set makes the core of a setup.
func (w *worker) set(p []byte) error {
	var s setup
	if len(p) == 0 || p[0] != opConfig {
		return errPacket
	}
	if err := wire.Decode(p[1:], &s); err != nil {
		return err
	}
	h, ok := lookup(s.Handler)
	if !ok {
		return fmt.Errorf("server: no handler is named %q in the worker process: call server.Handle for a package variable, so that every process of the program does", s.Handler)
	}
	c, err := s.conf()
	if err != nil {
		return err
	}
	w.once = s.Once
	w.core = &core{conf: c, handler: h, after: w.after, onError: w.report, name: w.name}
	w.asking.wanted = s.Ask
	if s.Cert != "" {
		files := tlsFiles{Cert: s.Cert, Key: s.Key, ClientCA: s.CA}
		copy(files.Tickets[:], s.Tickets)
		w.core.tls, err = newCertificates(nil, files, func(err error) { w.report(context.Background(), nil, err) })
	}
	w.core.prepare()
	return err
}

// A taken is a connection that has come.
type taken struct {
	seq           uint64
	since         int64
	fd            int
	remote, local net.Addr
	data          []byte
}

// batch is how many connections are taken before the server is told.
const batch = 16

func (w *worker) serve(ctx context.Context, buf []byte) error {
	raw, err := w.ch.conn.SyscallConn()
	if err != nil {
		return err
	}
	rights := make([]byte, unix.CmsgSpace(4*4))
	var records []byte
	var conns []taken
	for {
		conns, records = conns[:0], records[:0]
		var control []byte
		var over bool
		err := raw.Read(func(fd uintptr) bool {
			for len(conns) < batch && control == nil && !over {
				p, fd, err := receiveNow(int(fd), buf, rights)
				switch {
				case errors.Is(err, syscall.EAGAIN):
					return len(conns) > 0 || len(records) > 0
				case errors.Is(err, errLost) && len(p) >= 9:
					records = appendRecord(records, opLost, seqOf(p), 0)
					continue
				case err != nil:
					over = true
				case p[0] == opConn:
					t, err := w.take(p, fd)
					over = err != nil
					conns = append(conns, t)
				case p[0] == opVerdict:
					w.asking.answer(p)
				default:
					control = append(control, p...)
				}
			}
			return true
		})
		if len(records) > 0 {
			err = errors.Join(err, w.ch.send(records, -1))
		}
		if len(conns) > 0 {
			err = errors.Join(err, w.begin(ctx, conns))
		}
		if err != nil || over {
			return nil //nolint:nilerr // the server is gone: nobody is left to serve for
		}
		if control != nil && w.obey(control) {
			return nil
		}
	}
}

// take reads a packet with a connection.
func (w *worker) take(p []byte, fd int) (t taken, err error) {
	t.fd = fd
	t.seq, t.since, t.remote, t.local, t.data, err = parseConn(p)
	if err == nil {
		t.data = append([]byte(nil), t.data...)
	}
	return t, err
}

// begin tells the server which connections it has, before their handlers can do
// anything, and starts those.
func (w *worker) begin(ctx context.Context, conns []taken) error {
	var records []byte
	for _, t := range conns {
		records = appendRecord(records, opGot, t.seq, 0)
	}
	if err := w.ch.send(records, -1); err != nil {
		return err
	}
	for _, t := range conns {
		c := &Conn{id: t.seq}
		var sock net.Conn
		if w.packets != nil {
			p := &packet{conn: w.packets, from: t.remote}
			p.data.Reset(t.data)
			sock = p
		} else {
			sock = newFDConn(t.fd, t.remote, t.local)
		}
		c.init(w.core, sock, t.remote, t.local)
		c.since = t.since
		if err := w.core.add(c); err != nil { // of PROXY headers alone
			_ = sock.Close()
			w.after(c, endedRefused)
			continue
		}
		w.core.start(ctx, c, strand.Worker)
	}
	return nil
}

// obey does what the server says, and reports whether the worker has to leave.
func (w *worker) obey(p []byte) bool {
	switch p[0] {
	case opLevel:
		if len(p) < 2 {
			return true
		}
		level := int32(p[1])
		w.core.raise(level)
		if level >= levelStop {
			w.cancel(errStopped)
		}
		return false
	case opEnd:
		<-w.core.drained()
		w.out.flush()
		return true
	}
	return true
}

// after is told of each connection that is over.
func (w *worker) after(c *Conn, e ending) {
	w.out.done(c.id, e)
	if w.once {
		w.out.flush()
		child.Leave()
		os.Exit(0)
	}
}

// report tells the server of an error.
func (w *worker) report(_ context.Context, remote net.Addr, err error) {
	r := report{Text: err.Error()}
	if p, ok := errors.AsType[*tristrand.PanicError](err); ok {
		r.Panic, r.Text, r.Stack = true, fmt.Sprint(p.Value), p.Stack[:min(len(p.Stack), maxStack)]
	}
	r.Text = r.Text[:min(len(r.Text), maxStack)]
	from := ""
	if remote != nil {
		from = addrString(remote)
	}
	w.out.say(&r, from)
}

// receiveNow is channel.receive that does not wait.
func receiveNow(s int, buf, rights []byte) (p []byte, fd int, err error) {
	n, nr, flags, _, err := unix.Recvmsg(s, buf, rights, unix.MSG_DONTWAIT|unix.MSG_CMSG_CLOEXEC)
	fd = -1
	if err == nil && nr > 0 {
		fd = firstRight(rights[:nr])
	}
	switch {
	case errors.Is(err, syscall.EINTR):
		return receiveNow(s, buf, rights)
	case err != nil:
		return nil, -1, err
	case n == 0:
		return nil, -1, net.ErrClosed
	case flags&unix.MSG_CTRUNC != 0:
		err = errLost
	case flags&unix.MSG_TRUNC != 0:
		err = errPacket
	}
	if err != nil && fd >= 0 {
		_ = unix.Close(fd)
		fd = -1
	}
	return buf[:n], fd, err
}

// An outbox sends what a worker has to say, many records in a packet when it is
// busy.
type outbox struct {
	ch   channel
	wake chan struct{}

	mu      sync.Mutex // guards the rest
	records []byte
	errors  [][]byte

	sending sync.Mutex
}

func (o *outbox) init(ch channel) {
	o.ch, o.wake = ch, make(chan struct{}, 1)
	go func() { // it ends with the process
		for range o.wake {
			runtime.Gosched() // others may have something to say
			o.flush()
		}
	}()
}

func (o *outbox) done(seq uint64, e ending) {
	o.mu.Lock()
	o.records = appendRecord(o.records, opDone, seq, e)
	o.mu.Unlock()
	o.stir()
}

func (o *outbox) stir() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

func (o *outbox) say(r *report, remote string) {
	p, err := encodeReport(r, remote)
	if err != nil {
		return
	}
	o.mu.Lock()
	if len(o.errors) < 100 { // a bound; the counters have all
		o.errors = append(o.errors, p)
	}
	o.mu.Unlock()
	o.stir()
}

// flush sends what there is. An error means that the server is gone, which the
// receiver finds as well.
func (o *outbox) flush() {
	o.sending.Lock()
	defer o.sending.Unlock()
	o.mu.Lock()
	records, errs := o.records, o.errors
	o.records, o.errors = nil, nil
	o.mu.Unlock()
	for _, p := range errs {
		_ = o.ch.send(p, -1)
	}
	for len(records) > 1 {
		n := min(len(records), 1+maxRecords*recordBytes)
		_ = o.ch.send(records[:n], -1)
		if n == len(records) {
			return
		}
		rest := records[n-1:]
		rest[0] = opDone
		records = rest
	}
}
