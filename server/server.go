package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/tristrand/tristrand"
)

// A Server accepts connections and has Handler serve each of them, on a strand of
// the kind that Model says. Set the fields, then call Serve; they are read when it
// begins, or at Listen. A Server serves once and must not be copied.
type Server struct {
	// Addr is where to listen: "host:port", ":0" for any free port, or with the
	// network in front "tcp:host:port", "udp:host:port", "unix:/path",
	// "unixgram:/path"; "inherited" or "inherited:NAME" is a socket that systemd
	// passes on, and "fd:3" the one open with that number.
	Addr string

	// Network, if not empty, says what Addr is for, as in net.Listen: "tcp", "tcp4",
	// "tcp6", "udp", "udp4", "udp6", "unix", "unixgram".
	Network string

	// Listener or PacketConn, if not nil, is used instead of Addr. The server
	// closes it.
	Listener   net.Listener
	PacketConn net.PacketConn

	// Handler serves each connection.
	Handler Handler

	// Model says on what: Threads, Processes, Coroutines or Inline; nil is
	// Threads{}.
	Model Model

	// MaxConns bounds the connections that are served at once, 0 by descriptors
	// alone; for datagrams 0 is 1024. WhenFull says what becomes of more.
	MaxConns int
	WhenFull WhenFull

	// MaxPerAddr bounds the connections of one address, of IPv6 the /64, at once;
	// more are refused. 0 is no bound. The address is that of the PROXY header.
	MaxPerAddr int

	// Refusal is sent to a client that is refused by WhenFull, MaxPerAddr or Admit,
	// if it can be sent without waiting.
	Refusal []byte

	// IdleTimeout bounds the wait for the first byte of a message: for what Read,
	// ReadLine or ReadRecord return next. Sending counts as life. 0 is ReadTimeout.
	IdleTimeout time.Duration

	// ReadTimeout bounds the rest of a line or record after its first byte,
	// however slowly it comes. 0 is no bound.
	ReadTimeout time.Duration

	// WriteTimeout bounds a Write, of much at once each piece of 256 KiB. 0 is no
	// bound. All three may come late by an eighth.
	WriteTimeout time.Duration

	// HandshakeTimeout bounds the PROXY header and TLS together; 0 is 10 s, below
	// 0 no bound.
	HandshakeTimeout time.Duration

	// MaxLineBytes and MaxRecordBytes bound ReadLine and ReadRecord; 0 is 64 KiB
	// and 16 MiB.
	MaxLineBytes, MaxRecordBytes int

	// TLS, CertFile and KeyFile make it a TLS server. With files, which are in PEM,
	// the certificate is read again when they change. ClientCAFile has clients show
	// certificates that it has signed. Worker processes need files: TLS cannot go
	// to them.
	TLS                             *tls.Config
	CertFile, KeyFile, ClientCAFile string

	// Proxy are the networks of load balancers: a TCP connection from there must
	// begin with a PROXY header, version 1 or 2, whose client RemoteAddr then is.
	// Nobody else is believed: from elsewhere such a header is what the handler
	// reads.
	Proxy []netip.Prefix

	// Backlog is how many connections the kernel keeps for Accept; 0 is what the
	// system allows.
	Backlog int

	// Shards is how many sockets listen on the address, each with a loop of its own
	// (SO_REUSEPORT); the kernel spreads connections over them. 0 is one, without
	// sharing.
	Shards int

	// UnixMode, if not 0, is the mode that the file of a Unix socket gets.
	UnixMode fs.FileMode

	// KeepAlive probes whether TCP clients are still there, as in
	// net.ListenConfig.
	KeepAlive net.KeepAliveConfig

	// DrainTimeout is how long connections may go on when the ctx of Serve ends.
	// 0: their ctx ends at once.
	DrainTimeout time.Duration

	// DrainIdle, if not 0, is the IdleTimeout while the server drains: who waits
	// longer for a message gets ErrServerClosed. 0 waits as before.
	DrainIdle time.Duration

	// Grace is how long handlers have from the end of their ctx until their
	// connections are cut; 0 is 5 s, below 0 none.
	Grace time.Duration

	// Admit, if not nil, is asked by each client's address, in this process,
	// before anything is started for it; after an error the client is refused. It
	// must not block.
	Admit func(remote net.Addr) error

	// OnError is told of errors that nobody else sees: of handlers, handshakes,
	// Accept. remote may be nil. nil reports them to tristrand.OnReport's.
	OnError func(ctx context.Context, remote net.Addr, err error)

	mu      sync.Mutex // guards the rest
	run     *room
	closing bool
}

// WhenFull says what becomes of clients above MaxConns.
type WhenFull int

const (
	// Wait leaves them in the kernel's queue until there is room.
	Wait WhenFull = iota

	// Refuse closes their connections at once.
	Refuse
)

// Defaults of fields that are 0.
const (
	defaultHandshake = 10 * time.Second
	defaultGrace     = 5 * time.Second
	defaultMaxLine   = 64 << 10
	defaultMaxRecord = 16 << 20
	defaultDatagrams = 1024
)

func orDefault[T ~int | ~int64](v, d T) T {
	switch {
	case v == 0:
		return d
	case v < 0:
		return 0
	}
	return v
}

func (s *Server) settings() conf {
	return conf{
		IdleTimeout: s.IdleTimeout, ReadTimeout: s.ReadTimeout, WriteTimeout: s.WriteTimeout,
		HandshakeTimeout: orDefault(s.HandshakeTimeout, defaultHandshake), DrainIdle: s.DrainIdle,
		MaxLineBytes: orDefault(s.MaxLineBytes, defaultMaxLine), MaxRecordBytes: orDefault(s.MaxRecordBytes, defaultMaxRecord),
		MaxPerAddr: s.MaxPerAddr, Proxy: s.Proxy,
	}
}

func (s *Server) check() error {
	if s.Handler == nil {
		return errors.New("server: Handler is nil: set what serves a connection")
	}
	for _, f := range []struct {
		name  string
		value int64
	}{
		{"MaxConns", int64(s.MaxConns)}, {"MaxPerAddr", int64(s.MaxPerAddr)}, {"Shards", int64(s.Shards)},
		{"Backlog", int64(s.Backlog)}, {"MaxLineBytes", int64(s.MaxLineBytes)}, {"MaxRecordBytes", int64(s.MaxRecordBytes)},
		{"IdleTimeout", int64(s.IdleTimeout)}, {"ReadTimeout", int64(s.ReadTimeout)}, {"WriteTimeout", int64(s.WriteTimeout)},
		{"DrainTimeout", int64(s.DrainTimeout)}, {"DrainIdle", int64(s.DrainIdle)},
	} {
		if f.value < 0 {
			return fmt.Errorf("server: %s is %d: it cannot be below 0; 0 is the default, which its comment says", f.name, f.value)
		}
	}
	switch {
	case s.WhenFull != Wait && s.WhenFull != Refuse:
		return fmt.Errorf("server: WhenFull is %d: it is Wait or Refuse", s.WhenFull)
	case (s.CertFile == "") != (s.KeyFile == ""):
		return errors.New("server: CertFile and KeyFile need each other")
	case s.ClientCAFile != "" && s.CertFile == "" && s.TLS == nil:
		return errors.New("server: ClientCAFile is for TLS: set CertFile and KeyFile, or TLS")
	}
	return nil
}

// Listen opens the socket, so that ListenAddr is known and clients can connect;
// Serve does it if it was not called. Whoever calls it must call Serve or Shutdown
// later, which close the socket.
func (s *Server) Listen(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closing:
		return ErrServerClosed
	case s.run != nil:
		return errors.New("server: it listens already")
	}
	return s.listen(ctx)
}

// listen makes the room. s.mu is held.
func (s *Server) listen(ctx context.Context) error {
	if err := s.check(); err != nil {
		return err
	}
	r, err := newRoom(ctx, s)
	if err != nil {
		return err
	}
	s.run = r
	return nil
}

// ListenAddr returns where the server listens, nil before Listen or Serve have
// opened the socket.
func (s *Server) ListenAddr() net.Addr {
	r := s.running()
	if r == nil {
		return nil
	}
	return r.at
}

func (s *Server) running() *room {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.run
}

// Serve listens, unless Listen did, and serves until ctx ends or Shutdown is
// called; it returns when all connections are over. The ctx of the handlers is a
// child of ctx with its values; when ctx ends, they have DrainTimeout before theirs
// does, with [ErrServerClosed] as its cause, and then Grace before they are cut.
// Who is cut is told by a [*ShutdownError]; otherwise Serve returns nil. Serve fails if
// it cannot listen or the socket breaks; errors of single connections and a lack
// of descriptors do not end it. After Shutdown it returns ErrServerClosed.
func (s *Server) Serve(ctx context.Context) error {
	s.mu.Lock()
	if s.closing {
		s.mu.Unlock()
		return ErrServerClosed
	}
	if s.run == nil {
		if err := s.listen(ctx); err != nil {
			s.mu.Unlock()
			return err
		}
	}
	r := s.run
	if r.serving {
		s.mu.Unlock()
		return errors.New("server: it serves already; a Server serves once")
	}
	r.serving = true
	s.mu.Unlock()
	return r.serve(ctx)
}

// Shutdown ends the server: it stops accepting, after it has taken what is in the
// kernel's queue, and waits for the connections until ctx ends; then it ends the
// handlers' ctx and waits for Grace; then it cuts what is left, and tells whose
// connections those were by a [*ShutdownError]. It returns when that is done, and
// may be called any number of times, before Serve too. A handler that calls it
// would wait for itself, and gets an error: it must use a goroutine of its own.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	s.closing = true
	r := s.run
	serving := r != nil && r.serving
	s.mu.Unlock()
	if r == nil {
		return nil
	}
	if !serving {
		r.close()
		return nil
	}
	return r.shutdown(ctx)
}

// Stats are a server's numbers.
type Stats struct {
	Active int // connections that are served, or wait for a worker

	Accepted uint64 // connections and datagrams
	Finished uint64 // of those
	Refused  uint64 // by WhenFull, MaxPerAddr, Admit, Verify, TLS or the PROXY header
	Failed   uint64 // handlers that returned an error, panicked or crashed
	Panicked uint64 // of those, the ones that panicked
	Crashed  uint64 // of those, the ones that took their worker process with them
	TimedOut uint64 // connections that a time-out ended
	HungUp   uint64 // clients that were gone before the handler was done
	Cut      uint64 // by Shutdown

	AcceptErrors uint64 // times that Accept failed, for lack of descriptors above all
}

// Stats returns the numbers of now.
func (s *Server) Stats() Stats {
	r := s.running()
	if r == nil {
		return Stats{}
	}
	k := &r.core.count
	r.core.mu.Lock()
	active := r.core.active
	r.core.mu.Unlock()
	return Stats{
		Active: active, Accepted: k.accepted.Load(), Finished: k.finished.Load(), Refused: k.refused.Load(),
		Failed: k.failed.Load(), Panicked: k.panicked.Load(), Crashed: k.crashed.Load(), TimedOut: k.timedOut.Load(),
		HungUp: k.hangups.Load(), Cut: k.cut.Load(), AcceptErrors: k.acceptErrors.Load(),
	}
}

// Conns yields the connections that are alive, the newest first. Their strands are
// among those of strand.All, unless they are in worker processes.
func (s *Server) Conns() iter.Seq[ConnView] {
	return func(yield func(ConnView) bool) {
		r := s.running()
		if r == nil {
			return
		}
		for _, v := range r.core.views() {
			if !yield(v) {
				return
			}
		}
	}
}

// report is OnError, or what stands for it.
func (s *Server) report() func(ctx context.Context, remote net.Addr, err error) {
	if s.OnError != nil {
		return s.OnError
	}
	return func(ctx context.Context, remote net.Addr, err error) {
		if remote != nil {
			err = fmt.Errorf("connection of %s: %w", addrString(remote), err)
		}
		tristrand.Report(ctx, err)
	}
}
