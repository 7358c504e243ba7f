package server_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/tristrand/tristrand/server"
)

// A line that begins in what came with the line before has the whole ReadTimeout:
// not what is left of that line's, nor of the first one's.
func TestReadTimeoutIsForEachMessage(t *testing.T) {
	const timeout = 2 * time.Second
	for name, read := range map[string]func(c *server.Conn) error{
		"ReadLine":   func(c *server.Conn) error { _, err := c.ReadLine(); return err },
		"ReadRecord": func(c *server.Conn) error { _, err := c.ReadRecord(); return err },
		"Peek": func(c *server.Conn) error {
			_, err := c.Peek(9)
			_, more := io.ReadFull(c, make([]byte, 9))
			return errors.Join(err, more)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			message := "12345678\n"
			if name == "ReadRecord" {
				message = "\x00\x00\x00\x0512345"
			}
			came := make(chan struct{}, 16)
			c, result := serveOne(t, &server.Server{ReadTimeout: timeout, IdleTimeout: patience}, func(_ context.Context, c *server.Conn) error {
				for range 5 {
					if err := read(c); err != nil {
						return err
					}
					came <- struct{}{}
					time.Sleep(timeout / 3) // it is not the client that is slow
				}
				return nil
			})
			_, _ = io.WriteString(c, message+message[:3])
			for range 5 {
				select {
				case <-came:
					_, _ = io.WriteString(c, message[3:]+message[:3])
				case err := <-result:
					t.Fatal(err)
				}
			}
			if err := outcome(t, result); err != nil {
				t.Error(err)
			}
		})
	}
}

// The end of Serve's ctx bounds a Shutdown that waits without an end, too.
func TestServeEndsDuringShutdown(t *testing.T) {
	s := start(t, &server.Server{DrainTimeout: time.Millisecond, Handler: hello})
	if err := greeted(s.dial(t), patience); err != nil {
		t.Fatal(err)
	}
	down := make(chan error, 1)
	go func() { down <- s.Shutdown(context.Background()) }()
	eventually(t, func() (string, bool) { // it drains
		c, err := net.Dial("tcp", s.addr.String())
		if err == nil {
			_ = c.Close()
		}
		return "it still listens", err != nil
	})
	s.cancel()
	if err := outcome(t, down); err != nil {
		t.Error(err)
	}
}

// Datagrams that have come are answered, those too for which there was no place when the
// server was to stop.
func TestShutdownOfFullDatagrams(t *testing.T) {
	inside := make(chan struct{}, 16)
	s := start(t, &server.Server{Addr: "udp:127.0.0.1:0", Model: server.Inline{}, Handler: server.HandlerFunc(func(_ context.Context, c *server.Conn) error {
		inside <- struct{}{}
		for !c.Draining() {
			time.Sleep(time.Millisecond)
		}
		_, err := c.WriteTo(c)
		return err
	})})
	c := s.dial(t)
	for i := range 5 {
		fmt.Fprint(c, i)
	}
	<-inside
	down := make(chan error, 1)
	go func() { down <- s.Shutdown(context.Background()) }()
	buf := make([]byte, 16)
	for i := range 5 {
		if n, err := c.Read(buf); string(buf[:n]) != fmt.Sprint(i) {
			t.Fatalf("datagram %d: %q, %v", i, buf[:n], err)
		}
	}
	if err := outcome(t, down); err != nil {
		t.Error(err)
	}
}

// A troubled listener is one whose Accept fails at a bad moment.
type troubled struct {
	*net.TCPListener
	meanwhile func(l *troubled) error
	stopping  atomic.Bool
	accepts   atomic.Int64
}

func (l *troubled) SetDeadline(at time.Time) error {
	err := l.TCPListener.SetDeadline(at)
	if at.Before(time.Now().Add(-time.Hour)) {
		l.stopping.Store(true)
	}
	return err
}

func (l *troubled) Accept() (net.Conn, error) {
	if l.stopping.Load() {
		l.accepts.Add(1)
		if err := l.meanwhile(l); err != nil {
			return nil, err
		}
	}
	return l.TCPListener.Accept()
}

// queued starts a server that is to stop with n clients in the kernel's queue, and
// returns these.
func queued(t *testing.T, l *troubled, n int) (*running, []net.Conn, <-chan error) {
	t.Helper()
	var err error
	plain, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.TCPListener = plain.(*net.TCPListener)
	s := start(t, &server.Server{Listener: l, MaxConns: 1, Handler: hello, OnError: quiet})
	all := []net.Conn{s.dial(t)}
	if err := greeted(all[0], patience); err != nil {
		t.Fatal(err)
	}
	for range n {
		all = append(all, s.dial(t))
	}
	down := make(chan error, 1)
	go func() { down <- s.Shutdown(context.Background()) }()
	eventually(t, func() (string, bool) { return "it does not stop", l.stopping.Load() })
	_ = all[0].Close()
	return s, all[1:], down
}

func servedAll(t *testing.T, all []net.Conn, down <-chan error) {
	t.Helper()
	for i, c := range all {
		if err := greeted(c, patience); err != nil {
			t.Fatalf("client %d of the queue: %v", i, err)
		}
		_ = c.Close()
	}
	if err := outcome(t, down); err != nil {
		t.Error(err)
	}
}

// What ends the wait of an Accept may come between the time that is set for the last ones
// and the Accept itself.
func TestShutdownInterruptsTheRest(t *testing.T) {
	l := &troubled{meanwhile: func(l *troubled) error {
		if l.accepts.Load()%2 == 1 {
			return l.TCPListener.SetDeadline(time.Unix(1, 0))
		}
		return nil
	}}
	_, all, down := queued(t, l, 3)
	servedAll(t, all, down)
}

// Who is in the queue waits for descriptors, and the server does not run in circles.
func TestShutdownOutOfDescriptors(t *testing.T) {
	end := make(chan time.Time, 1)
	l := &troubled{meanwhile: func(*troubled) error {
		select {
		case at := <-end:
			end <- at
			if time.Now().Before(at) {
				return syscall.EMFILE
			}
		default:
			end <- time.Now().Add(200 * time.Millisecond)
			return syscall.EMFILE
		}
		return nil
	}}
	_, all, down := queued(t, l, 1)
	servedAll(t, all, down)
	if n := l.accepts.Load(); n > 1000 {
		t.Errorf("%d Accepts in 200 ms", n)
	}
}
