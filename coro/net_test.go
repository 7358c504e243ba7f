package coro_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tristrand/tristrand/coro"
)

// echo serves l with a coroutine per conn until l is closed.
func echo(ctx context.Context, l net.Listener) *coro.Coroutine {
	return coro.Spawn(ctx, func(ctx context.Context) error {
		for {
			c, err := l.Accept()
			if errors.Is(err, net.ErrClosed) {
				return nil
			} else if err != nil {
				return err
			}
			coro.Spawn(ctx, func(context.Context) error {
				_, err := io.Copy(c, c)
				return errors.Join(err, c.Close())
			})
		}
	}, coro.Name("echo"))
}

func TestEchoOnTCPAndUnix(t *testing.T) {
	for network, address := range map[string]string{
		"tcp": "127.0.0.1:0", "unix": filepath.Join(t.TempDir(), "s"),
	} {
		t.Run(network, func(t *testing.T) {
			run(t, func(ctx context.Context) error {
				l, err := coro.Listen(ctx, network, address)
				if err != nil {
					return err
				}
				server := echo(ctx, l)
				var clients []*coro.Coroutine
				for i := range 50 {
					clients = append(clients, coro.Spawn(ctx, func(ctx context.Context) error {
						c, err := coro.Dial(ctx, network, l.Addr().String())
						if err != nil {
							return err
						}
						text := strings.Repeat(fmt.Sprint(i, " "), 100_000)
						sent := coro.Spawn(ctx, func(context.Context) error {
							_, err := io.WriteString(c, text)
							return errors.Join(err, c.(interface{ CloseWrite() error }).CloseWrite())
						})
						got, err := io.ReadAll(c)
						if err == nil && string(got) != text {
							err = fmt.Errorf("client %d got %d bytes, want %d, or others", i, len(got), len(text))
						}
						return errors.Join(err, sent.Join(ctx), c.Close())
					}))
				}
				for _, c := range clients {
					if err := c.Join(ctx); err != nil {
						return err
					}
				}
				return errors.Join(l.Close(), server.Join(ctx))
			})
			if network == "unix" {
				if _, err := os.Stat(address); err == nil {
					t.Error("the socket's file is left")
				}
			}
		})
	}
}

// pair returns both ends of a conn of the caller's hub.
func pair(ctx context.Context) (a, b net.Conn, err error) {
	l, err := coro.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, err
	}
	accepted := coro.SpawnValue(ctx, func(context.Context) (net.Conn, error) { return l.Accept() })
	a, err = coro.Dial(ctx, "tcp", l.Addr().String())
	if err != nil {
		return nil, nil, err
	}
	b, err = accepted.Result(ctx)
	return a, b, errors.Join(err, l.Close())
}

func TestConnsTroubles(t *testing.T) {
	run(t, func(ctx context.Context) error {
		a, b, err := pair(ctx)
		if err != nil {
			return err
		}
		var ne net.Error
		_ = a.SetReadDeadline(time.Now().Add(5 * time.Millisecond))
		if _, err := a.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) || !errors.As(err, &ne) || !ne.Timeout() {
			t.Errorf("a deadline: %v", err)
		}
		if _, err := a.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("after a deadline: %v", err)
		}
		_ = a.SetReadDeadline(time.Time{})
		reader := coro.Spawn(ctx, func(context.Context) error { _, err := a.Read(make([]byte, 1)); return err })
		_ = coro.Sleep(ctx, 0)
		reader.Kill(nil)
		if err := reader.Join(ctx); !errors.Is(err, coro.ErrKilled) {
			t.Errorf("killed in Read: %v", err)
		}
		reader = coro.Spawn(ctx, func(context.Context) error { _, err := a.Read(make([]byte, 1)); return err })
		_ = coro.Sleep(ctx, 0)
		_ = a.SetReadDeadline(time.Unix(1, 0)) // as net/http does from another goroutine
		if err := reader.Join(ctx); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("a deadline in the past, set during Read: %v", err)
		}
		_ = a.SetReadDeadline(time.Time{})
		reader = coro.Spawn(ctx, func(context.Context) error { _, err := a.Read(make([]byte, 1)); return err })
		_ = coro.Sleep(ctx, 0)
		if err := a.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
		if err := reader.Join(ctx); !errors.Is(err, net.ErrClosed) {
			t.Errorf("closed under Read: %v", err)
		}
		if err := a.Close(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Close again: %v", err)
		}
		if _, err := b.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Errorf("the peer has closed: %v", err)
		}
		return b.Close()
	})
}

func TestAPeerThatResetsAndAListenerClosedUnderAccept(t *testing.T) {
	run(t, func(ctx context.Context) error {
		l, err := coro.Listen(ctx, "tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		server := coro.Spawn(ctx, func(ctx context.Context) error {
			c, err := l.Accept()
			if err != nil {
				return err
			}
			defer c.Close()
			_, err = io.ReadAll(c)
			return err
		})
		_, err = coro.Await(ctx, func(context.Context) (int, error) {
			c, err := net.Dial("tcp", l.Addr().String())
			if err != nil {
				return 0, err
			}
			_, _ = c.Write([]byte("x"))
			_ = c.(*net.TCPConn).SetLinger(0)
			return 0, c.Close()
		})
		if err != nil {
			return err
		}
		if err := server.Join(ctx); err == nil || !strings.Contains(err.Error(), "reset") {
			t.Errorf("reset: %v", err)
		}
		waiting := coro.Spawn(ctx, func(context.Context) error { _, err := l.Accept(); return err })
		_ = coro.Sleep(ctx, 0)
		_ = l.Close()
		if err := waiting.Join(ctx); !errors.Is(err, net.ErrClosed) {
			t.Errorf("closed under Accept: %v", err)
		}
		return nil
	})
}

// TestHTTPAndTLS has net/http, whose goroutines are no coroutines, serve on a
// hub's listener.
func TestHTTPAndTLS(t *testing.T) {
	cert := httptest.NewUnstartedServer(nil)
	cert.StartTLS()
	defer cert.Close()
	run(t, func(ctx context.Context) error {
		l, err := coro.Listen(ctx, "tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			if err == nil {
				_, err = w.Write(body)
			}
			if err != nil {
				t.Error(err)
			}
		}), ReadHeaderTimeout: time.Minute}
		served := coro.Spawn(ctx, func(ctx context.Context) error {
			_, err := coro.Await(ctx, func(context.Context) (int, error) {
				return 0, srv.Serve(tls.NewListener(l, &tls.Config{Certificates: cert.TLS.Certificates, NextProtos: []string{"h2", "http/1.1"}}))
			})
			if !errors.Is(err, http.ErrServerClosed) {
				return err
			}
			return nil
		})
		text := strings.Repeat("hello ", 20_000)
		var clients []*coro.Coroutine
		for range 10 {
			clients = append(clients, coro.Spawn(ctx, func(ctx context.Context) error {
				tr := &http.Transport{
					TLSClientConfig: cert.Client().Transport.(*http.Transport).TLSClientConfig.Clone(),
				}
				defer tr.CloseIdleConnections()
				_, err := coro.Await(ctx, func(ctx context.Context) (int, error) {
					res, err := (&http.Client{Transport: tr}).Post("https://"+l.Addr().String(), "text/plain", strings.NewReader(text))
					if err != nil {
						return 0, err
					}
					defer res.Body.Close()
					got, err := io.ReadAll(res.Body)
					if err == nil && string(got) != text {
						err = fmt.Errorf("got %d bytes, want %d", len(got), len(text))
					}
					return 0, err
				})
				return err
			}))
		}
		for _, c := range clients {
			if err := c.Join(ctx); err != nil {
				t.Error(err)
			}
		}
		return errors.Join(srv.Close(), served.Join(ctx))
	})
}

func TestTLSBetweenCoroutines(t *testing.T) {
	cert := httptest.NewUnstartedServer(nil)
	cert.StartTLS()
	defer cert.Close()
	run(t, func(ctx context.Context) error {
		a, b, err := pair(ctx)
		if err != nil {
			return err
		}
		s := tls.Server(a, &tls.Config{Certificates: cert.TLS.Certificates})
		cfg := cert.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
		cfg.ServerName = "example.com"
		c := tls.Client(b, cfg)
		server := coro.Spawn(ctx, func(context.Context) error {
			_, err := io.Copy(s, s)
			return errors.Join(err, s.Close())
		})
		if _, err := io.WriteString(c, "hello"); err != nil {
			return err
		}
		_ = c.CloseWrite()
		got, err := io.ReadAll(c)
		if err != nil || string(got) != "hello" {
			t.Errorf("got %q, %v", got, err)
		}
		return errors.Join(c.Close(), server.Join(ctx))
	})
}

func TestIOAndCoroutinesDoNotStarveEachOther(t *testing.T) {
	run(t, func(ctx context.Context) error {
		a, b, err := pair(ctx)
		if err != nil {
			return err
		}
		done := false
		var spins, rounds int
		spinner := coro.Spawn(ctx, func(ctx context.Context) error {
			for !done {
				spins++
				if err := coro.Sleep(ctx, 0); err != nil {
					return err
				}
			}
			return nil
		})
		server := coro.Spawn(ctx, func(context.Context) error { _, err := io.Copy(b, b); return errors.Join(err, b.Close()) })
		buf := make([]byte, 1)
		for rounds < 1000 {
			if _, err := a.Write(buf); err != nil {
				return err
			}
			if _, err := io.ReadFull(a, buf); err != nil {
				return err
			}
			rounds++
		}
		done = true
		if spins < rounds {
			t.Errorf("%d spins beside %d rounds", spins, rounds)
		}
		return errors.Join(a.Close(), server.Join(ctx), spinner.Join(ctx))
	})
}

func TestConnsLeftOpenAreClosedWithTheHub(t *testing.T) {
	var mu sync.Mutex
	var left net.Conn
	run(t, func(ctx context.Context) error {
		a, b, err := pair(ctx)
		mu.Lock()
		left = a
		mu.Unlock()
		go func() { _, _ = b.Read(make([]byte, 1)) }() // a goroutine that is no coroutine
		return err
	})
	if _, err := left.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
		t.Errorf("got %v", err)
	}
}

func TestHubsServeFromOneListenerAndStayApart(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	addr := make(chan string, 1)
	served := make(chan error)
	go func() {
		served <- coro.Hubs(2).Serve(ctx, "tcp", "127.0.0.1:0", func(a net.Addr) { addr <- a.String() },
			func(_ context.Context, c net.Conn) error {
				_, err := io.Copy(c, c)
				return errors.Join(err, c.Close())
			})
	}()
	at := <-addr
	var wg sync.WaitGroup
	for i := range 40 {
		wg.Go(func() {
			c, err := net.Dial("tcp", at)
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			text := fmt.Sprint("client ", i)
			_, _ = io.WriteString(c, text)
			_ = c.(*net.TCPConn).CloseWrite()
			if got, err := io.ReadAll(c); string(got) != text || err != nil {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
	wg.Wait()
	cancel()
	if err := <-served; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	var mu sync.Mutex
	seen := map[int]bool{}
	boom := errors.New("boom")
	err := coro.Hubs(3).Run(t.Context(), func(ctx context.Context, i int) error {
		mu.Lock()
		seen[i] = true
		mu.Unlock()
		if i == 1 {
			return boom
		}
		return coro.Sleep(ctx, time.Hour)
	})
	if !errors.Is(err, boom) || len(seen) == 0 {
		t.Errorf("got %v, %v", err, seen)
	}
}
