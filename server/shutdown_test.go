package server_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/server"
)

func TestShutdownWaitsForTheHandlers(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	s := start(t, &server.Server{Handler: server.HandlerFunc(func(_ context.Context, c *server.Conn) error {
		close(entered)
		<-leave
		_, err := c.Write([]byte("done"))
		return err
	})})
	c := s.dial(t)
	<-entered
	down := make(chan error, 1)
	go func() { down <- s.Shutdown(context.Background()) }()
	eventually(t, func() (string, bool) { // the address is free while the handler goes on
		l, err := net.Listen("tcp", s.addr.String())
		if err == nil {
			_ = l.Close()
		}
		return fmt.Sprint(err), err == nil
	})
	select {
	case err := <-down:
		t.Fatalf("Shutdown returned before the handler: %v", err)
	default:
	}
	close(leave)
	if err := <-down; err != nil {
		t.Error(err)
	}
	if got, err := io.ReadAll(c); string(got) != "done" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	if err := s.Serve(t.Context()); !errors.Is(err, server.ErrServerClosed) || !errors.Is(err, tristrand.ErrClosed) {
		t.Errorf("Serve after Shutdown: %v", err)
	}
}

// Drain, then cancel, then cut.
func TestShutdownTellsWhoWasCut(t *testing.T) {
	var stubborn atomic.Int32
	leave := make(chan struct{})
	s := start(t, &server.Server{Grace: 2 * time.Second, Handler: server.HandlerFunc(func(ctx context.Context, c *server.Conn) error {
		line, err := c.ReadLine()
		if err != nil {
			return err
		}
		if line == "polite" {
			<-ctx.Done()
			if cause := context.Cause(ctx); !errors.Is(cause, server.ErrServerClosed) {
				t.Errorf("cause: %v", cause)
			}
			return nil
		}
		stubborn.Add(1)
		if line == "endless" {
			<-leave
			return nil
		}
		_, err = io.Copy(io.Discard, c.NetConn()) // passes by the server's own ends
		return err
	})})
	for _, word := range []string{"polite", "stubborn", "endless"} {
		fmt.Fprintln(s.dial(t), word)
	}
	s.dial(t) // silent
	eventually(t, func() (string, bool) { return "", s.Stats().Active == 4 && stubborn.Load() == 2 })
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	err := s.Shutdown(ctx)
	var cut *server.ShutdownError
	if !errors.As(err, &cut) || !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("got %v", err)
	}
	// The deadline that stops reads is the socket's, so that the stubborn one gets an
	// error too; the endless one is left.
	if len(cut.Cut) != 1 || cut.Running != 1 || s.Stats().Cut != 1 {
		t.Errorf("cut %v, running %d, %+v", cut.Cut, cut.Running, s.Stats())
	}
	if err := s.Shutdown(t.Context()); !errors.As(err, &cut) {
		t.Errorf("a second Shutdown has another answer: %v", err)
	}
	close(leave)
	if err := s.end(t); !errors.As(err, &cut) {
		t.Errorf("Serve: %v", err)
	}
}

func TestShutdownRacesWithServe(t *testing.T) {
	for range 50 {
		s := &server.Server{Addr: "127.0.0.1:0", Handler: echo}
		result := make(chan error, 1)
		go func() { result <- s.Serve(context.Background()) }()
		if err := s.Shutdown(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := <-result; err != nil && !errors.Is(err, server.ErrServerClosed) {
			t.Fatal(err)
		}
	}
}

func TestShutdownByAHandler(t *testing.T) {
	var s *running
	got := make(chan error, 1)
	ready := make(chan struct{})
	s = start(t, &server.Server{Handler: server.HandlerFunc(func(ctx context.Context, _ *server.Conn) error {
		<-ready
		got <- s.Shutdown(ctx)
		return nil
	})})
	close(ready)
	s.dial(t)
	if err := <-got; err == nil {
		t.Error("it did not refuse to wait for itself")
	}
}

// While the server drains, what is on its way is still answered, and who is silent
// is let go.
func TestDrainIdle(t *testing.T) {
	s := start(t, &server.Server{DrainIdle: 2 * time.Second, Handler: upper})
	talks, silent := s.dial(t), s.dial(t)
	in := bufio.NewReader(talks)
	say := func() {
		_, _ = io.WriteString(talks, "hello\n")
		if got, err := in.ReadString('\n'); got != "HELLO\n" {
			t.Fatalf("got %q, %v", got, err)
		}
	}
	say()
	eventually(t, func() (string, bool) { return "", s.Stats().Active == 2 })
	down := make(chan error, 1)
	go func() { down <- s.Shutdown(context.Background()) }()
	eventually(t, func() (string, bool) { // refused: it drains
		c, err := net.DialTimeout("tcp", s.addr.String(), 20*time.Millisecond)
		if err == nil {
			_ = c.Close()
		}
		return "", err != nil
	})
	for range 5 {
		say()
		time.Sleep(20 * time.Millisecond)
	}
	if err := <-down; err != nil {
		t.Error(err)
	}
	for _, c := range []net.Conn{talks, silent} {
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Errorf("got %v, want the end", err)
		}
	}
}

// Whoever was connected when the server stopped gets an answer: those whom Accept
// had returned, and those who were in the kernel's queue.
func TestShutdownLosesNobody(t *testing.T) {
	for round := range 2 {
		s := start(t, &server.Server{Model: server.Threads{Max: 4}, Handler: upper})
		var answered, lost, refused atomic.Int32
		var wg sync.WaitGroup
		stop := make(chan struct{})
		for range 16 {
			wg.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
					}
					c, err := net.Dial("tcp", s.addr.String())
					if err != nil {
						refused.Add(1)
						return
					}
					_ = c.SetDeadline(time.Now().Add(patience))
					_, _ = io.WriteString(c, "hello\n")
					if got, err := bufio.NewReader(c).ReadString('\n'); got == "HELLO\n" {
						answered.Add(1)
					} else {
						lost.Add(1)
						t.Logf("lost: %q, %v", got, err)
					}
					_ = c.Close()
				}
			})
		}
		eventually(t, func() (string, bool) { return "", answered.Load() > 100 })
		if err := s.Shutdown(context.Background()); err != nil {
			t.Fatal(err)
		}
		close(stop)
		wg.Wait()
		// A client whose handshake the kernel finishes between the last Accept and the
		// close was not accepted; that moment has to be short.
		if accepted := s.Stats().Accepted; int64(answered.Load()) < int64(accepted) {
			t.Errorf("round %d: %d accepted, %d answered, %d lost", round, accepted, answered.Load(), lost.Load())
		}
	}
}
