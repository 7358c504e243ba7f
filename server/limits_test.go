package server_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/server"
	"github.com/tristrand/tristrand/strand"
)

// hello answers at once and then waits for the client's end.
var hello = server.HandlerFunc(func(_ context.Context, c *server.Conn) error {
	if _, err := c.Write([]byte("hello")); err != nil {
		return err
	}
	_, err := io.Copy(io.Discard, c)
	return err
})

func greeted(c net.Conn, within time.Duration) error {
	_ = c.SetReadDeadline(time.Now().Add(within))
	_, err := io.ReadFull(c, make([]byte, 5))
	return err
}

func TestMaxConnsWaits(t *testing.T) {
	for name, s := range map[string]*server.Server{
		"MaxConns": {MaxConns: 2}, "Threads": {Model: server.Threads{Max: 2}, MaxConns: 5}, "Inline": {Model: server.Inline{}},
	} {
		t.Run(name, func(t *testing.T) {
			s.Handler = hello
			r := start(t, s)
			most := 2
			if name == "Inline" {
				most = 1
			}
			var inside []net.Conn
			for range most {
				c := r.dial(t)
				if err := greeted(c, patience); err != nil {
					t.Fatal(err)
				}
				inside = append(inside, c)
			}
			late := r.dial(t) // the kernel answers
			if err := greeted(late, 50*time.Millisecond); err == nil {
				t.Fatal("one too many is served")
			}
			_ = inside[0].Close()
			if err := greeted(late, patience); err != nil {
				t.Errorf("it was not served when there was room: %v", err)
			}
		})
	}
}

func TestMaxConnsRefuses(t *testing.T) {
	s := start(t, &server.Server{MaxConns: 1, WhenFull: server.Refuse, Refusal: []byte("full\n"), Handler: hello})
	c := s.dial(t)
	if err := greeted(c, patience); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(s.dial(t)); string(got) != "full\n" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	_ = c.Close()
	eventually(t, func() (string, bool) { return "", s.Stats().Finished == 1 }) // then its place is free
	if err := greeted(s.dial(t), patience); err != nil {
		t.Error(err)
	}
	if st := s.Stats(); st.Refused != 1 || st.Accepted != 3 {
		t.Errorf("%+v", st)
	}
}

// Clients of many addresses, as 127.0.0.0/8 has them.
func TestMaxPerAddr(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("127.0.0.2 is not ours here")
	}
	s := start(t, &server.Server{Addr: "0.0.0.0:0", MaxPerAddr: 2, Handler: hello})
	dial := func(from string) error {
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
		c, err := d.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", s.addr.(*net.TCPAddr).Port))
		if err != nil {
			return err
		}
		t.Cleanup(func() { _ = c.Close() })
		return greeted(c, patience)
	}
	for host := 2; host < 40; host++ {
		from := fmt.Sprintf("127.0.%d.%d", host, host)
		for i := range 3 {
			if err := dial(from); (err == nil) != (i < 2) {
				t.Errorf("connection %d of %s: %v", i+1, from, err)
			}
		}
	}
}

// One client after another of the same address: who has seen the end of its
// connection has its place again.
func TestMaxPerAddrIsFreeAtTheEnd(t *testing.T) {
	for name, model := range map[string]server.Model{"threads": server.Threads{}, "coroutines": server.Coroutines{}} {
		t.Run(name, func(t *testing.T) {
			s := start(t, &server.Server{MaxPerAddr: 1, MaxConns: 1, WhenFull: server.Refuse, Refusal: []byte("no"), Model: model,
				Handler: server.HandlerFunc(func(_ context.Context, c *server.Conn) error {
					_, err := c.WriteString("yes")
					return err
				})})
			for i := range 1000 {
				c := s.dial(t)
				if got, err := io.ReadAll(c); string(got) != "yes" || err != nil {
					t.Fatalf("client %d: %q, %v", i, got, err)
				}
				_ = c.Close()
			}
		})
	}
}

func TestAdmit(t *testing.T) {
	s := start(t, &server.Server{Refusal: []byte("no"), Handler: hello, Admit: func(a net.Addr) error {
		if a.(*net.TCPAddr).IP.IsLoopback() {
			return errors.New("not from here")
		}
		return nil
	}})
	if got, _ := io.ReadAll(s.dial(t)); string(got) != "no" {
		t.Errorf("got %q", got)
	}
}

// hooked is a handler with everything around it.
type hooked struct{ log chan string }

func (h hooked) Verify(_ context.Context, c *server.Conn) error {
	h.log <- "verify"
	if b, _ := c.Peek(1); string(b) == "!" {
		return errors.New("refused")
	}
	return nil
}
func (h hooked) Setup(context.Context, *server.Conn) error { h.log <- "setup"; return nil }
func (h hooked) ServeConn(_ context.Context, c *server.Conn) error {
	line, err := c.ReadLine()
	h.log <- "serve " + line
	switch line {
	case "panic":
		panic("on purpose")
	case "goexit":
		runtime.Goexit()
	case "error":
		return errors.New("on purpose")
	}
	return err
}
func (h hooked) Finish(_ context.Context, _ *server.Conn, err error) error {
	h.log <- fmt.Sprintf("finish %v", err != nil)
	return err
}

func TestHooksAndTrouble(t *testing.T) {
	h := hooked{make(chan string, 10)}
	reports := make(chan error, 10)
	s := start(t, &server.Server{Handler: h, OnError: func(_ context.Context, _ net.Addr, err error) { reports <- err }})
	for say, want := range map[string]struct {
		log      []string
		reported bool
		panicked bool
	}{
		"fine":   {log: []string{"verify", "setup", "serve fine", "finish false"}},
		"!":      {log: []string{"verify"}, reported: true},
		"error":  {log: []string{"verify", "setup", "serve error", "finish true"}, reported: true},
		"panic":  {log: []string{"verify", "setup", "serve panic", "finish true"}, reported: true, panicked: true},
		"goexit": {log: []string{"verify", "setup", "serve goexit", "finish true"}, reported: true},
	} {
		c := s.dial(t)
		fmt.Fprintln(c, say)
		if _, err := io.ReadAll(c); err != nil {
			t.Errorf("%s: the connection was not closed in order: %v", say, err)
		}
		for _, line := range want.log {
			if got := <-h.log; got != line {
				t.Errorf("%s: %q, want %q", say, got, line)
			}
		}
		if want.reported {
			err := <-reports
			var p *tristrand.PanicError
			if errors.As(err, &p) != want.panicked {
				t.Errorf("%s: reported %v", say, err)
			}
		}
	}
	eventually(t, func() (string, bool) { st := s.Stats(); return fmt.Sprintf("%+v", st), st.Finished == 5 })
	if st := s.Stats(); st.Failed != 3 || st.Panicked != 2 || st.Refused != 1 || st.Active != 0 {
		t.Errorf("%+v", st)
	}
}

func TestLivingConnections(t *testing.T) {
	s := start(t, &server.Server{Handler: hello})
	for range 3 {
		if err := greeted(s.dial(t), patience); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, func() (string, bool) { // a client may have its bytes before they are counted
		counted := 0
		for v := range s.Conns() {
			if v.WrittenBytes == 5 {
				counted++
			}
		}
		return fmt.Sprintf("%d connections have written 5 bytes", counted), counted == 3
	})
	n := 0
	for v := range s.Conns() {
		n++
		if v.Remote == "" || v.Local == "" || v.Since.IsZero() || v.PID != 0 {
			t.Errorf("%+v", v)
		}
		found := false
		for st := range strand.All() {
			found = found || st.Name() == v.Strand
		}
		if !found {
			t.Errorf("no strand is named %q", v.Strand)
		}
	}
	if n != 3 {
		t.Errorf("%d connections", n)
	}
}

// 10,000 connections, opened and dropped in different ways.
func TestOpenedAndDropped(t *testing.T) {
	s := start(t, &server.Server{Handler: echo, OnError: func(_ context.Context, _ net.Addr, err error) { t.Error(err) }})
	total := 10_000
	if testing.Short() {
		total = 1000
	}
	var wg sync.WaitGroup
	var done atomic.Int32
	for w := range 8 {
		wg.Go(func() {
			for i := w; i < total; i += 8 {
				c, err := net.Dial("tcp", s.addr.String())
				if err != nil {
					t.Error(err)
					return
				}
				tc := c.(*net.TCPConn)
				switch i % 4 {
				case 1:
					_ = tc.SetLinger(0) // a reset
				case 2:
					_, _ = c.Write([]byte("unread"))
					_ = tc.SetLinger(0)
				case 3:
					_, _ = c.Write([]byte("half"))
					_ = tc.CloseWrite()
				}
				_ = c.Close()
				done.Add(1)
			}
		})
	}
	wg.Wait()
	eventually(t, func() (string, bool) {
		st := s.Stats()
		return fmt.Sprintf("%+v", st), st.Active == 0 && st.Accepted >= uint64(done.Load())*9/10
	})
}

// Whoever sends faster than the handlers take is dropped by the kernel, not kept.
func TestFloodOfDatagrams(t *testing.T) {
	var inside, most atomic.Int32
	s := start(t, &server.Server{Addr: "udp:127.0.0.1:0", MaxConns: 4, Handler: server.HandlerFunc(func(_ context.Context, c *server.Conn) error {
		for n := inside.Add(1); ; {
			m := most.Load()
			if n <= m || most.CompareAndSwap(m, n) {
				break
			}
		}
		defer inside.Add(-1)
		time.Sleep(100 * time.Microsecond)
		_, err := io.Copy(c, c)
		return err
	})})
	before := runtime.NumGoroutine()
	c := s.dial(t)
	for range 50_000 {
		_, _ = c.Write([]byte("flood"))
	}
	if n := runtime.NumGoroutine(); n > before+20 {
		t.Errorf("%d goroutines", n)
	}
	if most.Load() > 4 {
		t.Errorf("%d at once", most.Load())
	}
	eventually(t, func() (string, bool) { // it still answers
		c := s.dial(t)
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(time.Second))
		_, _ = c.Write([]byte("ping"))
		n, err := c.Read(make([]byte, 10))
		return fmt.Sprint(err), n == 4
	})
}
