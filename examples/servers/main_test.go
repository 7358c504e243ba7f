package servers_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"testing"
	"time"

	"github.com/tristrand/tristrand/process"
	"github.com/tristrand/tristrand/server"
)

func TestMain(m *testing.M) {
	process.Init() // worker processes begin here
	os.Exit(m.Run())
}

// models are the words by which a server differs.
func models() map[string]server.Model {
	return map[string]server.Model{
		"threads": server.Threads{}, "processes": server.Processes{Workers: 2},
		"a process each": server.Processes{PerConnection: true, Workers: 2}, "coroutines": server.Coroutines{},
	}
}

// serve runs a server until the test ends.
func serve(t *testing.T, s *server.Server) net.Addr {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	if s.Addr == "" {
		s.Addr = "127.0.0.1:0"
	}
	if err := s.Listen(ctx); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; errors.Is(err, server.ErrUnsupported) {
			t.Skip(err)
		} else if err != nil {
			t.Error(err)
		}
	})
	return s.ListenAddr()
}

// A caller is a client that talks in lines.
type caller struct {
	net.Conn
	lines *bufio.Reader
}

func call(t *testing.T, addr net.Addr) *caller {
	t.Helper()
	c, err := net.Dial(addr.Network(), addr.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(30 * time.Second))
	return &caller{c, bufio.NewReader(c)}
}

func (c *caller) say(text string) { fmt.Fprintln(c, text) }

func (c *caller) hear(t *testing.T, want string) {
	t.Helper()
	if got, err := c.lines.ReadString('\n'); got != want+"\n" {
		t.Errorf("heard %q (%v), want %q", got, err, want)
	}
}
