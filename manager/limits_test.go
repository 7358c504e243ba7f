package manager_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math/big"
	"net"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/internal/mpwire"
	"github.com/tristrand/tristrand/internal/pickle"
	"github.com/tristrand/tristrand/manager"
)

func TestLimits(t *testing.T) {
	at := serve(t, &manager.Server{AuthKey: testKey, MaxConns: 3, MaxObjects: 2, MaxMessageBytes: 1 << 16, MaxDepth: 20}, "127.0.0.1:0")
	c := dial(t, at.String())
	ctx := t.Context()
	l := must[*manager.List[any]](t)(manager.NewList[any](ctx, c))
	_ = must[*manager.Event](t)(manager.NewEvent(ctx, c))
	if _, err := manager.NewEvent(ctx, c); err == nil {
		t.Error("there are more objects than the limit")
	}
	deep := any(1)
	for range 30 {
		deep = []any{deep}
	}
	if err := l.Append(ctx, deep); err == nil {
		t.Error("a value that is too deep was taken")
	}
	ok(t, l.Append(ctx, "the client is still there"))
	// An answer that is too large is refused, not cut; a request ends the
	// connection, and the next call makes a new one.
	for range 5 {
		ok(t, l.Append(ctx, make([]byte, 20_000)))
	}
	_, err := l.Items(ctx)
	if e, isPy := errors.AsType[*manager.PythonError](err); !isPy || e.Traceback == "" {
		t.Errorf("an answer that is too large: %v", err)
	}
	is(t, l.Append(ctx, make([]byte, 1<<17)), manager.ErrConnection)
	_ = must[manager.Info](t)(c.Info(ctx))

	for range 2 {
		until(t, "the connection that was ended makes room", func() bool { _, err := tryRawDial(t, at); return err == nil })
	}
	more := must[net.Conn](t)(net.Dial("tcp", at.String()))
	defer more.Close()
	ok(t, more.SetDeadline(time.Now().Add(time.Minute)))
	if _, err := more.Read(make([]byte, 1)); err == nil {
		t.Error("there are more connections than the limit")
	}
}

// TestFlood: connections that never prove the key do not keep out one that does.
func TestFlood(t *testing.T) {
	at := serve(t, &manager.Server{AuthKey: testKey, MaxPending: 8}, "127.0.0.1:0")
	stays := rawDial(t, at)
	stays.session("stays")
	for range 50 {
		c := must[net.Conn](t)(net.Dial("tcp", at.String()))
		defer c.Close()
	}
	alive(t, at)
	if kind, _ := stays.call("nosuch", "x"); kind != "#TRACEBACK" {
		t.Errorf("the session is answered with %s", kind)
	}
}

func TestTLS(t *testing.T) {
	key := must[*ecdsa.PrivateKey](t)(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der := must[[]byte](t)(x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key))
	roots := x509.NewCertPool()
	roots.AddCert(must[*x509.Certificate](t)(x509.ParseCertificate(der)))
	server := &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	at := serve(t, &manager.Server{AuthKey: testKey, TLS: server}, "127.0.0.1:0").String()
	c, err := manager.Dial(t.Context(), at, manager.DialOptions{AuthKey: testKey, TLS: &tls.Config{RootCAs: roots}})
	ok(t, err)
	defer c.Close()
	q := must[*manager.Queue[int]](t)(manager.NewQueue[int](t.Context(), c, 0))
	var g tristrand.Group
	g.Go(t.Context(), func(ctx context.Context) error {
		v, err := q.Get(ctx)
		if err == nil && v != 7 {
			err = fmt.Errorf("got %d", v)
		}
		return err
	})
	until(t, "it waits", func() bool { return must[tristrand.QueueState](t)(q.State(t.Context())).Getting == 1 })
	ok(t, q.Put(t.Context(), 7))
	ok(t, g.Wait(t.Context()))
	if c, err := manager.Dial(t.Context(), at, manager.DialOptions{AuthKey: testKey, TLS: &tls.Config{}}); err == nil {
		t.Error("a certificate that nobody knows was taken", c.Close())
	}
	if c, err := manager.Dial(t.Context(), at, manager.DialOptions{AuthKey: testKey, Timeout: time.Second}); err == nil {
		t.Error("a client without TLS was served", c.Close())
	}
}

// TestQueueWithDyingClients: through clients that are killed at any moment a
// queue loses nothing but what they had been handed, and doubles nothing.
func TestQueueWithDyingClients(t *testing.T) {
	at := serve(t, &manager.Server{AuthKey: testKey}, filepath.Join(t.TempDir(), "s"))
	c := dial(t, at.String())
	ctx := t.Context()
	q := must[*manager.Queue[int]](t)(manager.NewQueue[int](ctx, c, 5))
	items, consumers := 2000, 6
	if testing.Short() {
		items = 300
	}
	var mu sync.Mutex
	seen, kills := map[int]int{}, 0
	over := make(chan struct{})
	var g tristrand.Group
	for k := range consumers {
		g.Go(ctx, func(context.Context) error {
			for round := 0; ; round++ {
				select {
				case <-over:
					return nil
				default:
				}
				if died := consume(t, at, q.Proxy().ID(), 1+(round*7+k)%11, func(n int) {
					mu.Lock()
					seen[n]++
					mu.Unlock()
				}); died {
					mu.Lock()
					kills++
					mu.Unlock()
				}
			}
		})
	}
	for i := range items {
		ok(t, q.Put(ctx, i))
	}
	until(t, "all is taken", func() bool { return must[tristrand.QueueState](t)(q.State(ctx)).Len == 0 })
	close(over)
	ok(t, q.Shutdown(ctx, tristrand.Drain)) // who still waits is told
	ok(t, g.Wait(ctx))
	lost := 0
	for i := range items {
		switch n := seen[i]; {
		case n == 0:
			lost++
		case n > 1:
			t.Errorf("item %d was got %d times", i, n)
		}
	}
	for { // what was put back after the last look
		if _, err := q.TryGet(ctx); err != nil {
			break
		}
		lost--
	}
	if lost > kills {
		t.Errorf("%d items of %d were lost, and %d clients were killed", lost, items, kills)
	}
	t.Logf("%d items, %d clients killed, %d items lost with them", items, kills, lost)
}

// consume is a client that gets n items and dies while it waits for the next; it
// reports whether it did.
func consume(t *testing.T, at net.Addr, id string, n int, got func(int)) (died bool) {
	c, err := net.Dial(at.Network(), at.String())
	if err != nil {
		return false
	}
	defer c.Close()
	ok(t, c.SetDeadline(time.Now().Add(time.Minute)))
	r := mpwire.NewReader(c, 256)
	if err := (mpwire.Auth{Key: testKey}).Greet(r, c); err != nil {
		return false
	}
	send := func(ident any, method string, args ...any) bool {
		b, err := pickle.Marshal(nil, pickle.Tuple{ident, method, pickle.Tuple(args), new(pickle.Dict)})
		return err == nil && mpwire.WriteFrame(c, b) == nil
	}
	if !send(nil, "accept_connection", "dies") {
		return false
	}
	if _, err := r.Next(); err != nil {
		return false
	}
	for range n {
		if !send(id, "get") {
			return false
		}
		data, err := r.Next()
		if err != nil {
			return false
		}
		v, err := pickle.Unmarshal(data, pickle.Options{Find: func(pickle.Global) (*pickle.Class, error) { return pickle.Symbolic, nil }})
		if err != nil {
			t.Error(err)
			return false
		}
		item, isInt := v.(pickle.Tuple)[1].(int64)
		if !isInt {
			return false // it was shut down
		}
		got(int(item))
	}
	return send(id, "get")
}
