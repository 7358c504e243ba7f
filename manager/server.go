package manager

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/internal/mpwire"
	"github.com/tristrand/tristrand/internal/pickle"
	"github.com/tristrand/tristrand/manager/internal/host"
)

// ErrServerClosed is returned by Serve after Shutdown, or when a client asked
// the server to shut down.
var ErrServerClosed = errors.New("manager: the server is shut down")

// The defaults of a Server's limits.
const (
	DefaultHandshakeTimeout = 10 * time.Second
	DefaultWriteTimeout     = time.Minute
	DefaultMaxConns         = 16384
	DefaultMaxPending       = 256
	DefaultMaxMessageBytes  = 256 << 20
	DefaultMaxDepth         = 1000
	DefaultMaxObjects       = 1 << 20
)

// A Server holds objects and serves them. Its fields are read when Serve is
// called for the first time.
type Server struct {
	// AuthKey is what clients must know, and what the server proves to know.
	// Without it Serve fails, unless NoAuth says that everyone who can connect
	// may do everything.
	AuthKey []byte
	NoAuth  bool

	// StrongAuth refuses MD5, and so every Python before 3.12.
	StrongAuth bool

	// TLS is for clients that speak it, Go's: Python's own do not. nil is none.
	TLS *tls.Config

	// Types are served beside Python's own: dict, list, set, Namespace, Value,
	// Array, Queue, JoinableQueue, LifoQueue, PriorityQueue, Event, Lock, RLock,
	// Semaphore, BoundedSemaphore, Condition, Barrier and Pool. One of the same
	// name takes its place.
	Types []Type

	// Objects are there from the start, under names of their own.
	Objects []Object

	// Executor runs the calls of hosted pools; nil is a thread.Pool for each.
	Executor tristrand.Executor

	// Functions are what clients of a Pool may call besides some of Python's
	// built-in ones, by the name that Python has for it, "module.name". They run
	// in the server's process: an Executor whose jobs run in others refuses them.
	// A task made by tristrand.Define may be called by its own name, too, if it is
	// listed in Tasks, and runs on every Executor.
	Functions map[string]Function
	Tasks     []string

	// HandshakeTimeout bounds the time from a connection to its first request,
	// WriteTimeout that for which a client may leave an answer unread. 0 is the
	// default; below 0 is no bound.
	HandshakeTimeout, WriteTimeout time.Duration

	// MaxConns bounds the connections; more are closed at once. MaxPending
	// bounds those that have not proved the key; the oldest is closed then.
	MaxConns, MaxPending int

	// MaxMessageBytes bounds a message, MaxDepth how deep values nest in it,
	// MaxObjects how many objects there are. 0 is the default.
	MaxMessageBytes      int64
	MaxDepth, MaxObjects int

	once  sync.Once
	setup error
	types map[string]*host.Type
	table *host.Table
	locks host.Locks
	read  pickle.Options
	peers peers

	mu        sync.Mutex // guards the rest
	closed    bool
	listeners map[net.Listener]bool
	conns     map[io.Closer]bool
	pending   []net.Conn // the oldest first
	loop      *loop      // nil: not yet, or noLoop
	noLoop    bool
	wg        sync.WaitGroup
}

// init checks the fields and fills in the defaults.
func (s *Server) init() error {
	s.once.Do(func() {
		s.setup = s.prepare()
	})
	return s.setup
}

// Check returns the error that Serve would return for the fields: without it Serve
// says so only when there is a listener. It reads them, as Serve does.
func (s *Server) Check() error { return s.init() }

func (s *Server) prepare() error {
	if len(s.AuthKey) == 0 && !s.NoAuth {
		return errors.New("manager: a Server without AuthKey serves everyone who can connect: set a key, or NoAuth if that is wanted")
	}
	if len(s.AuthKey) > 0 && s.NoAuth {
		return errors.New("manager: a Server with both AuthKey and NoAuth: choose one")
	}
	or := func(p *int, d int) {
		if *p == 0 {
			*p = d
		}
	}
	or(&s.MaxConns, DefaultMaxConns)
	or(&s.MaxPending, DefaultMaxPending)
	or(&s.MaxDepth, DefaultMaxDepth)
	or(&s.MaxObjects, DefaultMaxObjects)
	if s.MaxMessageBytes == 0 {
		s.MaxMessageBytes = DefaultMaxMessageBytes
	}
	if s.HandshakeTimeout == 0 {
		s.HandshakeTimeout = DefaultHandshakeTimeout
	}
	if s.WriteTimeout == 0 {
		s.WriteTimeout = DefaultWriteTimeout
	}
	if s.MaxConns < 0 || s.MaxPending < 0 || s.MaxDepth < 0 || s.MaxObjects < 0 || s.MaxMessageBytes < 0 {
		return errors.New("manager: a Server's limits cannot be below 0")
	}
	if s.MaxDepth > maxDepth {
		return fmt.Errorf("manager: MaxDepth %d: the most is %d", s.MaxDepth, maxDepth)
	}
	s.table = host.NewTable(s.MaxObjects)
	s.peers.drop, s.peers.quit = s.table.Decref, make(chan struct{})
	s.listeners, s.conns = map[net.Listener]bool{}, map[io.Closer]bool{}
	return s.register()
}

// maxDepth is what can be written again, with what a server wraps around it.
const maxDepth = 1900

// ListenAndServe listens on an address, see Listen, and serves.
func (s *Server) ListenAndServe(ctx context.Context, address string) error {
	if err := s.init(); err != nil {
		return err
	}
	l, err := Listen(address)
	if err != nil {
		return err
	}
	return s.Serve(ctx, l)
}

// Serve accepts connections and serves them until ctx ends, Shutdown is called,
// or a client asks for it; then it closes the listener and all connections,
// waits for what they do to end, and returns ctx's error or ErrServerClosed. A
// server may serve several listeners.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	if err := s.init(); err != nil {
		return errors.Join(err, l.Close())
	}
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return errors.Join(ErrServerClosed, l.Close())
	}
	s.listeners[l] = true
	s.mu.Unlock()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(ctx, s.stop)
	defer stop()

	err := s.accept(ctx, l)
	s.stop()
	cancel()
	s.wg.Wait()
	s.peers.wg.Wait()
	s.mu.Lock()
	lp := s.loop
	s.mu.Unlock()
	if lp != nil {
		lp.close()
	}
	return err
}

// sessions returns the loop that waits for sessions, nil if they have to do so
// themselves.
func (s *Server) sessions() *loop {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.loop == nil && !s.noLoop {
		l, err := newLoop()
		if err != nil {
			tristrand.Report(context.Background(), fmt.Errorf("manager: sessions wait for themselves: %w", err))
		}
		s.loop, s.noLoop = l, l == nil
	}
	return s.loop
}

// exchange notes that a connection is another now.
func (s *Server) exchange(from, to io.Closer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, from)
	s.conns[to] = true
	if s.closed {
		_ = to.Close() // its goroutine sees it
	}
}

// accept accepts connections until the listener is closed.
func (s *Server) accept(ctx context.Context, l net.Listener) error {
	pause := time.Duration(0)
	for {
		c, err := l.Accept()
		if err == nil {
			pause = 0
			if s.admit(c) {
				go s.serve(ctx, c, l.Addr())
			}
			continue
		}
		s.mu.Lock()
		closed := s.closed
		s.mu.Unlock()
		switch {
		case closed && ctx.Err() != nil:
			return context.Cause(ctx)
		case closed:
			return ErrServerClosed
		case errors.Is(err, net.ErrClosed):
			return fmt.Errorf("manager: accepting connections: %w", err)
		}
		// Out of descriptors, most likely: that passes.
		pause = min(max(2*pause, 5*time.Millisecond), time.Second)
		tristrand.Report(ctx, fmt.Errorf("manager: accepting a connection, trying again: %w", err))
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
	}
}

// admit takes a connection in, unless there are too many.
func (s *Server) admit(c net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || len(s.conns) >= s.MaxConns {
		_ = c.Close() // there is nobody to tell
		return false
	}
	if len(s.pending) >= s.MaxPending {
		_ = s.pending[0].Close() // its goroutine sees it
		s.pending = s.pending[1:]
	}
	s.conns[c] = true
	s.pending = append(s.pending, c)
	s.wg.Add(1)
	return true
}

// settled takes a connection off those that have not proved the key.
func (s *Server) settled(c net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, x := range s.pending {
		if x == c {
			s.pending = append(s.pending[:i], s.pending[i+1:]...)
			return
		}
	}
}

func (s *Server) dismiss(c net.Conn) {
	s.settled(c)
	s.mu.Lock()
	delete(s.conns, c)
	s.mu.Unlock()
	_ = c.Close() // it may be closed
	s.wg.Done()
}

// stop closes everything. The goroutines of connections see it and end.
func (s *Server) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	s.closed = true
	close(s.peers.quit)
	for l := range s.listeners {
		_ = l.Close() // its Accept says so
	}
	for c := range s.conns {
		_ = c.Close() // its goroutine sees it
	}
}

// Shutdown closes the listeners and all connections and waits for what they do
// to end, or for ctx.
func (s *Server) Shutdown(ctx context.Context) error {
	if err := s.init(); err != nil {
		return err
	}
	s.stop()
	done := make(chan struct{})
	go func() {
		s.wg.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("manager: Shutdown: some calls have not ended: %w", context.Cause(ctx))
	}
}

// serve serves one connection.
func (s *Server) serve(ctx context.Context, raw net.Conn, at net.Addr) {
	defer s.dismiss(raw)
	c := &conn{s: s, net: raw, raw: raw, at: at}
	if s.TLS != nil {
		c.net = tls.Server(raw, s.TLS)
	}
	if err := c.run(ctx); err != nil && !errors.Is(err, net.ErrClosed) {
		tristrand.Report(ctx, fmt.Errorf("manager: a connection from %v: %w", raw.RemoteAddr(), err))
	}
}

func (s *Server) auth() mpwire.Auth { return mpwire.Auth{Key: s.AuthKey, Strong: s.StrongAuth} }
