package server_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/coro"
	"github.com/tristrand/tristrand/server"
	"github.com/tristrand/tristrand/strand"
)

// 500 clients at once; what the handlers of a hub share needs no lock, which the
// race detector sees.
func TestCoroutinesOfOneHubTakeTurns(t *testing.T) {
	shared, most, inside := 0, 0, 0
	s := start(t, &server.Server{Model: server.Coroutines{}, Handler: server.HandlerFunc(func(ctx context.Context, c *server.Conn) error {
		if k := strand.Current(ctx).Kind(); k != strand.Coroutine {
			t.Errorf("it runs on a %v", k)
		}
		if inside++; inside > most {
			most = inside
		}
		defer func() { inside-- }()
		for line, err := range c.Lines() {
			if err != nil {
				return err
			}
			n := shared
			if err := coro.Sleep(ctx, 0); err != nil { // others run now
				return err
			}
			_ = n
			shared++
			if err := c.WriteLine(strings.ToUpper(line)); err != nil {
				return err
			}
		}
		return nil
	})})
	const clients = 500
	var wg sync.WaitGroup
	var here sync.WaitGroup
	here.Add(clients)
	for i := range clients {
		wg.Go(func() {
			c := s.client(t)
			got, err := c.ask(fmt.Sprint("hello ", i))
			if got != fmt.Sprint("HELLO ", i) {
				t.Errorf("got %q, %v", got, err)
			}
			here.Done()
			here.Wait() // all are connected
			_ = c.Close()
		})
	}
	wg.Wait()
	if err := s.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if shared != clients || most != clients {
		t.Errorf("%d lines, %d at once", shared, most)
	}
}

func TestCoroutinesTrouble(t *testing.T) {
	reports := make(chan error, 10)
	s := start(t, &server.Server{Model: server.Coroutines{Hubs: 2}, IdleTimeout: time.Minute, OnError: func(_ context.Context, _ net.Addr, err error) { reports <- err },
		Handler: server.HandlerFunc(func(_ context.Context, c *server.Conn) error {
			line, err := c.ReadLine()
			switch line {
			case "panic":
				panic("on purpose")
			case "goexit":
				runtime.Goexit()
			}
			return err
		})})
	for _, word := range []string{"panic", "goexit"} {
		c := s.client(t)
		if got, err := c.ask(word); err == nil {
			t.Errorf("%s: %q", word, got)
		}
		err := <-reports
		var p *tristrand.PanicError
		if word == "panic" && !errors.As(err, &p) || word == "goexit" && !errors.Is(err, tristrand.ErrGoexit) {
			t.Errorf("%s: %v", word, err)
		}
	}
}

// What ended a handler is told once: neither by the hub as well.
func TestCoroutinesTroubleIsToldOnce(t *testing.T) {
	var mu sync.Mutex
	var told []error
	tristrand.OnReport(func(_ context.Context, err error) {
		mu.Lock()
		defer mu.Unlock()
		told = append(told, err)
	})
	defer tristrand.OnReport(nil)
	s := start(t, &server.Server{Model: server.Coroutines{}, Handler: server.HandlerFunc(func(_ context.Context, c *server.Conn) error {
		switch line, _ := c.ReadLine(); line {
		case "panic":
			panic("on purpose")
		case "goexit":
			runtime.Goexit()
		}
		return errors.New("on purpose")
	})})
	for _, word := range []string{"panic", "goexit", "error"} {
		if got, err := s.client(t).ask(word); err == nil {
			t.Errorf("%s: %q", word, got)
		}
	}
	if err := s.Shutdown(t.Context()); err != nil { // with which the hub ends and says what it has to say
		t.Fatal(err)
	}
	mu.Lock()
	defer mu.Unlock()
	if len(told) != 3 {
		t.Errorf("%d reports: %v", len(told), told)
	}
}

func TestCoroutinesTimeoutsAndLimits(t *testing.T) {
	s := start(t, &server.Server{Model: server.Coroutines{}, IdleTimeout: 100 * time.Millisecond, MaxConns: 2, Handler: hello})
	first, second, third := s.dial(t), s.dial(t), s.dial(t)
	for _, c := range []net.Conn{first, second, third} { // the third when another's time is up
		if err := greeted(c, patience); err != nil {
			t.Error(err)
		}
	}
	if _, err := third.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Error(err)
	}
	eventually(t, func() (string, bool) { return fmt.Sprintf("%+v", s.Stats()), s.Stats().TimedOut == 3 })
}

func TestCoroutinesWithTLS(t *testing.T) {
	cert, key, pool := certificate(t, t.TempDir(), "x")
	s := start(t, &server.Server{Model: server.Coroutines{}, CertFile: cert, KeyFile: key, Handler: upper, OnError: quiet})
	for range 3 {
		if answer, _, err := askTLS(s.addr.String(), &tls.Config{RootCAs: pool, ServerName: "localhost"}, "hello"); answer != "HELLO\n" || err != nil {
			t.Errorf("got %q, %v", answer, err)
		}
	}
}

func TestCoroutinesShutdown(t *testing.T) {
	for _, hubs := range []int{1, 2} {
		s := start(t, &server.Server{Model: server.Coroutines{Hubs: hubs}, Handler: upper})
		var answered atomic.Int64
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				for {
					raw, err := net.Dial("tcp", s.addr.String())
					if err != nil {
						return
					}
					c := &client{raw, bufio.NewReader(raw)}
					if got, err := c.ask("hello"); got == "HELLO" {
						answered.Add(1)
					} else {
						t.Logf("lost: %q, %v", got, err)
					}
					_ = c.Close()
				}
			})
		}
		eventually(t, func() (string, bool) { return "", answered.Load() > 200 })
		if err := s.Shutdown(context.Background()); err != nil {
			t.Fatal(err)
		}
		wg.Wait()
		if n := s.Stats().Accepted; uint64(answered.Load()) != n {
			t.Errorf("%d accepted, %d answered", n, answered.Load())
		}
	}
}

func TestCoroutinesAreCancelled(t *testing.T) {
	s := start(t, &server.Server{Model: server.Coroutines{}, Handler: server.HandlerFunc(func(ctx context.Context, c *server.Conn) error {
		_, _ = c.Write([]byte("hello"))
		return strand.Sleep(ctx, time.Hour)
	})})
	c := s.dial(t)
	if err := greeted(c, patience); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := s.Shutdown(ctx); err != nil {
		t.Error(err)
	}
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Error(err)
	}
}
