package server

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// A source is a socket that clients come by.
type source interface {
	addr() net.Addr
	packets() bool
	interrupt() // ends the wait of accept, which then takes only what has come
	close()
}

// listener is a source of connections.
type listener struct {
	net.Listener
	socket   net.Listener // the one to ask about the socket; nil is this one
	ours     bool         // opened by us, so that nobody else has the socket
	passedOn bool         // somebody else goes on having it
	once     sync.Once
	clean    func()
}

// A deadliner is a listener whose Accept can be bounded.
type deadliner interface {
	SetDeadline(t time.Time) error
}

// control returns the listener that knows its socket.
func (l *listener) control() net.Listener {
	if l.socket != nil {
		return l.socket
	}
	return l.Listener
}

func (l *listener) addr() net.Addr { return l.Addr() }
func (l *listener) packets() bool  { return false }

func (l *listener) interrupt() {
	if d, ok := l.Listener.(deadliner); ok && d.SetDeadline(longAgo) == nil {
		return
	}
	_ = l.Close()
}

func (l *listener) close() {
	l.once.Do(func() {
		_ = l.Close()
		if l.clean != nil {
			l.clean()
		}
	})
}

// splitAddr takes the network from the front of an address.
func splitAddr(network, addr string) (string, string, error) {
	if network == "" {
		if before, after, ok := strings.Cut(addr, ":"); ok {
			switch before {
			case "tcp", "tcp4", "tcp6", "udp", "udp4", "udp6", "unix", "unixgram", "inherited", "fd":
				network, addr = before, after
			}
		}
		switch {
		case addr == "inherited" || addr == "systemd":
			return "inherited", "", nil
		case network == "":
			network = "tcp"
		}
	}
	switch network {
	case "tcp", "tcp4", "tcp6", "udp", "udp4", "udp6":
		if _, _, err := net.SplitHostPort(addr); err != nil {
			return "", "", fmt.Errorf("server: address %q: want host:port, :port, unix:/path or inherited: %w", addr, err)
		}
	case "unix", "unixgram", "fd":
		if addr == "" {
			return "", "", fmt.Errorf("server: address %q has nothing behind its network", network+":")
		}
	case "inherited":
	default:
		return "", "", fmt.Errorf("server: network %q: want tcp, udp, unix or unixgram", network)
	}
	return network, addr, nil
}

// open opens the sockets.
func (s *Server) open(ctx context.Context) (_ []source, err error) {
	switch {
	case s.Listener != nil && s.PacketConn != nil:
		return nil, errors.New("server: Listener and PacketConn exclude each other")
	case s.Listener != nil:
		return []source{&listener{Listener: s.Listener}}, nil
	case s.PacketConn != nil:
		return []source{&packets{conn: s.PacketConn}}, nil
	}
	network, addr, err := splitAddr(s.Network, s.Addr)
	if err != nil {
		return nil, err
	}
	switch network {
	case "inherited":
		return inheritedSources(addr)
	case "fd":
		n, err := strconv.Atoi(addr)
		if err != nil || n < 0 {
			return nil, fmt.Errorf("server: address fd:%s: want the number of a descriptor", addr)
		}
		src, err := sourceOf(os.NewFile(uintptr(n), "fd:"+addr))
		if err != nil {
			return nil, err
		}
		return []source{src}, nil
	}
	shards := max(s.Shards, 1)
	if shards > 1 && strings.HasPrefix(network, "unix") {
		return nil, errors.New("server: Shards is for TCP and UDP: a Unix path has one socket")
	}
	var all []source
	defer func() {
		if err != nil {
			for _, src := range all {
				src.close()
			}
		}
	}()
	for range shards {
		src, err := s.openOne(ctx, network, addr, shards > 1)
		if err != nil {
			return nil, err
		}
		all = append(all, src)
		addr = src.addr().String() // a port that the system chose is for all
	}
	return all, nil
}

func (s *Server) openOne(ctx context.Context, network, addr string, share bool) (source, error) {
	lc := net.ListenConfig{KeepAliveConfig: s.KeepAlive, Control: func(network, _ string, raw syscall.RawConn) error {
		if strings.HasPrefix(network, "tcp") {
			tuneListener(raw, s.KeepAlive)
		}
		if share {
			return sharePort(raw)
		}
		return nil
	}}
	if !s.KeepAlive.Enable && s.KeepAlive != (net.KeepAliveConfig{}) {
		lc.KeepAlive = -1
	}
	if err := freePath(network, addr); err != nil {
		return nil, err
	}
	if strings.HasPrefix(network, "udp") || network == "unixgram" {
		conn, err := lc.ListenPacket(ctx, network, addr)
		if err != nil {
			return nil, listenError(err)
		}
		src := &packets{conn: conn, clean: cleaner(network, addr)}
		return src, s.chmod(src, network, addr)
	}
	l, err := lc.Listen(ctx, network, addr)
	if err != nil {
		return nil, listenError(err)
	}
	src := &listener{Listener: l, ours: true}
	if u, ok := l.(*net.UnixListener); ok {
		u.SetUnlinkOnClose(false)
		src.clean = cleaner(network, addr)
	}
	if s.Backlog > 0 {
		if err := setBacklog(l, s.Backlog); err != nil {
			src.close()
			return nil, fmt.Errorf("server: Backlog: %w", err)
		}
	}
	return src, s.chmod(src, network, addr)
}

func (s *Server) chmod(src source, network, addr string) error {
	if s.UnixMode == 0 || !strings.HasPrefix(network, "unix") || strings.HasPrefix(addr, "@") {
		return nil
	}
	if err := os.Chmod(addr, s.UnixMode); err != nil {
		src.close()
		return fmt.Errorf("server: UnixMode: %w", err)
	}
	return nil
}

func listenError(err error) error {
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("server: another program, or another server of this one, listens there: %w", err)
	}
	return fmt.Errorf("server: %w", err)
}

// freePath removes the file that a server which was killed has left at the path of
// a Unix socket. A file that is no socket, or one that somebody listens at, stays.
func freePath(network, addr string) error {
	if !strings.HasPrefix(network, "unix") || strings.HasPrefix(addr, "@") {
		return nil
	}
	info, err := os.Lstat(addr)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("server: %w", err)
	case info.Mode()&fs.ModeSocket == 0:
		return fmt.Errorf("server: %s exists and is no socket: remove it, or listen elsewhere", addr)
	}
	c, err := net.DialTimeout(network, addr, time.Second)
	if err == nil {
		_ = c.Close()
		return fmt.Errorf("server: somebody listens at %s already: %w", addr, syscall.EADDRINUSE)
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("server: is %s in use? %w", addr, err)
	}
	if err := os.Remove(addr); err != nil {
		return fmt.Errorf("server: a socket that nobody listens at any more: %w", err)
	}
	return nil
}

// cleaner returns what removes the file of our Unix socket, unless another server
// has taken the path meanwhile.
func cleaner(network, addr string) func() {
	ours, err := os.Lstat(addr)
	if err != nil || !strings.HasPrefix(network, "unix") {
		return nil
	}
	return func() {
		if now, err := os.Lstat(addr); err == nil && os.SameFile(ours, now) {
			_ = os.Remove(addr)
		}
	}
}

// sourceOf makes a source of a descriptor that was passed on, and closes it.
func sourceOf(f *os.File) (source, error) {
	defer func() { _ = f.Close() }() // net has one of its own
	l, err := net.FileListener(f)
	if err == nil {
		if u, ok := l.(*net.UnixListener); ok {
			u.SetUnlinkOnClose(false) // it is not ours to remove
		}
		return &listener{Listener: l, passedOn: true}, nil
	}
	conn, packetErr := net.FilePacketConn(f)
	if packetErr == nil {
		return &packets{conn: conn}, nil
	}
	return nil, fmt.Errorf("server: %s is neither a listening socket nor one of datagrams: %w", f.Name(), err)
}
