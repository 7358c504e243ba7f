package server_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tristrand/tristrand/server"
)

// patience is for what happens at once on a machine that is not busy.
const patience = 30 * time.Second

// running is a server under test.
type running struct {
	*server.Server
	addr   net.Addr
	result chan error
	cancel context.CancelFunc
}

// start serves until the test ends, and then looks that nothing is left.
func start(t *testing.T, s *server.Server) *running {
	t.Helper()
	if _, ok := s.Model.(server.Processes); ok {
		warmUp()
	}
	before := resources(t)
	// Of several servers of a test the first looks, when all have ended: others do not
	// know what of it had begun when they came.
	_, second := looking.LoadOrStore(t, true)
	first := !second
	if s.Addr == "" && s.Listener == nil && s.PacketConn == nil {
		s.Addr = "127.0.0.1:0"
	}
	ctx, cancel := context.WithCancel(context.Background())
	if err := s.Listen(ctx); err != nil {
		t.Fatal(err)
	}
	r := &running{Server: s, addr: s.ListenAddr(), result: make(chan error, 1), cancel: cancel}
	go func() { r.result <- s.Serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := r.end(t); err != nil && !t.Failed() {
			t.Errorf("Serve: %v", err)
		}
		if first {
			before.same(t)
		}
	})
	return r
}

// end returns what Serve returned.
func (r *running) end(t *testing.T) error {
	t.Helper()
	select {
	case err := <-r.result:
		r.result <- nil // for the next who asks
		return err
	case <-time.After(patience):
		t.Fatal("Serve did not return")
		return nil
	}
}

func (r *running) dial(t *testing.T) net.Conn {
	t.Helper()
	c, err := net.Dial(r.addr.Network(), r.addr.String())
	if err != nil {
		t.Fatal(err)
	}
	_ = c.SetDeadline(time.Now().Add(patience))
	t.Cleanup(func() { _ = c.Close() })
	return c
}

var looking sync.Map // the tests that have a server

// counts are what a test must not leave behind.
type counts struct{ goroutines, files, processes int }

func resources(*testing.T) counts {
	files, _ := os.ReadDir("/proc/self/fd")
	return counts{runtime.NumGoroutine(), len(files), children()}
}

func (before counts) same(t *testing.T) {
	t.Helper()
	eventually(t, func() (string, bool) {
		now := resources(t)
		return fmt.Sprintf("before %+v, after %+v", before, now), now.files <= before.files && now.goroutines <= before.goroutines &&
			now.processes <= max(before.processes, 1) // the guardian of children stays for a second
	})
}

// eventually waits until cond is true.
func eventually(t *testing.T, cond func() (string, bool)) {
	t.Helper()
	end := time.Now().Add(patience)
	for {
		text, ok := cond()
		if ok {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("it never came to that: %s", text)
		}
		time.Sleep(time.Millisecond)
	}
}

var upper = server.HandlerFunc(func(_ context.Context, c *server.Conn) error {
	for line, err := range c.Lines() {
		if err != nil {
			return err
		}
		if err := c.WriteLine(strings.ToUpper(line)); err != nil {
			return err
		}
	}
	return nil
})

var echo = server.HandlerFunc(func(_ context.Context, c *server.Conn) error {
	_, err := io.Copy(c, c)
	return err
})

func TestAnswersOnEveryNetwork(t *testing.T) {
	dir := t.TempDir()
	for _, addr := range []string{"127.0.0.1:0", "tcp:[::1]:0", "unix:" + filepath.Join(dir, "s"), "unix:@tristrand-test"} {
		for name, model := range map[string]server.Model{"threads": server.Threads{}, "inline": server.Inline{}, "two": server.Threads{Max: 2}, "hub": server.Coroutines{}, "hubs": server.Coroutines{Hubs: 3, Max: 2}} {
			t.Run(addr[:4]+"/"+name, func(t *testing.T) {
				s := start(t, &server.Server{Addr: addr, Handler: upper, Model: model})
				for range 3 {
					c := s.dial(t)
					in := bufio.NewReader(c)
					for i := range 10 {
						fmt.Fprintf(c, "line %d\r\n", i)
						if got, err := in.ReadString('\n'); got != fmt.Sprintf("LINE %d\n", i) {
							t.Fatalf("got %q, %v", got, err)
						}
					}
					_, _ = c.Write([]byte("last"))
					_ = c.(interface{ CloseWrite() error }).CloseWrite()
					if got, err := io.ReadAll(in); string(got) != "LAST\n" || err != nil {
						t.Fatalf("after the half-close: %q, %v", got, err)
					}
					_ = c.Close()
				}
			})
		}
	}
}

func TestDatagrams(t *testing.T) {
	for _, network := range []string{"udp", "unixgram"} {
		t.Run(network, func(t *testing.T) {
			addr, from := "udp:127.0.0.1:0", net.Addr(nil)
			dir := t.TempDir()
			if network == "unixgram" {
				addr = "unixgram:" + filepath.Join(dir, "s")
				from = &net.UnixAddr{Name: filepath.Join(dir, "c"), Net: "unixgram"}
			}
			s := start(t, &server.Server{Addr: addr, Handler: upper})
			d := net.Dialer{LocalAddr: from}
			c, err := d.Dial(s.addr.Network(), s.addr.String())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			_ = c.SetDeadline(time.Now().Add(patience))
			buf := make([]byte, 100)
			for range 3 {
				if _, err := c.Write([]byte("hello\n")); err != nil {
					t.Fatal(err)
				}
				if n, err := c.Read(buf); string(buf[:n]) != "HELLO\n" {
					t.Fatalf("got %q, %v", buf[:n], err)
				}
			}
		})
	}
}

func TestUnixPaths(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	busy := &server.Server{Addr: "unix:" + path, Handler: echo}
	if err := busy.Listen(t.Context()); err == nil {
		t.Fatal("it listens where somebody else does")
	}
	_ = l.Close() // as by kill -9: the file stays
	s := &server.Server{Addr: "unix:" + path, Handler: echo, UnixMode: 0o600}
	if err := s.Listen(t.Context()); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if err := s.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket's file is left: %v", err)
	}
	if err := os.WriteFile(path, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := (&server.Server{Addr: "unix:" + path, Handler: echo}).Listen(t.Context()); err == nil {
		t.Fatal("it took the place of an ordinary file")
	}
}

func TestRestartOnTheSameAddress(t *testing.T) {
	addr := "127.0.0.1:0"
	for range 5 {
		s := start(t, &server.Server{Addr: addr, Handler: echo})
		addr = s.addr.String()
		c := s.dial(t)
		_, _ = c.Write([]byte("x"))
		if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		s.cancel() // the server closes first, so that its side is in TIME_WAIT
		if err := s.end(t); err != nil {
			t.Fatal(err)
		}
	}
}

func TestShards(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no SO_REUSEPORT")
	}
	s := start(t, &server.Server{Shards: 4, Handler: echo})
	var wg sync.WaitGroup
	for range 40 {
		wg.Go(func() {
			c := s.dial(t)
			_, _ = c.Write([]byte("abc"))
			if _, err := io.ReadFull(c, make([]byte, 3)); err != nil {
				t.Error(err)
			}
			_ = c.Close()
		})
	}
	wg.Wait()
	if got := s.Stats().Accepted; got != 40 {
		t.Errorf("accepted %d", got)
	}
}

func TestWrongUse(t *testing.T) {
	for _, s := range []*server.Server{
		{},
		{Handler: echo, Addr: "nonsense"},
		{Handler: echo, Addr: "unix:"},
		{Handler: echo, Network: "sctp", Addr: ":0"},
		{Handler: echo, Addr: ":0", MaxConns: -1},
		{Handler: echo, Addr: ":0", Model: server.Threads{Max: -1}},
		{Handler: echo, Addr: ":0", IdleTimeout: -1},
		{Handler: echo, Addr: ":0", CertFile: "x"},
		{Handler: echo, Addr: ":0", CertFile: "/nowhere/c", KeyFile: "/nowhere/k"},
		{Handler: echo, Addr: "udp:127.0.0.1:0", CertFile: "/nowhere/c", KeyFile: "/nowhere/k"},
		{Handler: echo, Addr: "inherited"},
		{Handler: echo, Addr: "fd:999"},
		{Handler: echo, Addr: "127.0.0.1:99999"},
	} {
		before := resources(t)
		for range 50 {
			if err := s.Listen(t.Context()); err == nil {
				t.Fatalf("%+v was accepted", s)
			}
		}
		before.same(t)
	}
}

type client struct {
	net.Conn
	in *bufio.Reader
}

func (r *running) client(t *testing.T) *client {
	t.Helper()
	c := r.dial(t)
	return &client{c, bufio.NewReader(c)}
}

func (c *client) ask(line string) (string, error) {
	_ = c.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(c, line+"\n"); err != nil {
		return "", err
	}
	answer, err := c.in.ReadString('\n')
	return strings.TrimSuffix(answer, "\n"), err
}
