//go:build unix

package cluster_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/cluster"
	"github.com/tristrand/tristrand/coro"
	"github.com/tristrand/tristrand/strand"
)

// certificates returns the configuration of a server on the loopback, and the pool that
// trusts it.
func certificates(t *testing.T) (*tls.Config, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	text := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{"localhost"},
	}
	der, err := x509.CreateCertificate(rand.Reader, text, text, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, RootCAs: pool, MinVersion: tls.VersionTLS12}, pool
}

// With TLS a submitter and a worker talk to a server whose certificate they trust, and to no
// other, and say why.
func TestTLS(t *testing.T) {
	t.Parallel()
	ctx := adopt(t)
	cfg, pool := certificates(t)
	c := open(t, cluster.Options{Durability: cluster.Memory, Listen: "127.0.0.1:0", TLS: cfg, Token: "key"})
	worker := open(t, cluster.Options{URLs: []string{c.URL()}, Durability: cluster.Memory, TLS: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}, Token: "key"})
	serve(t, worker, &coro.Pool{Workers: 2})
	if v, err := taskPoison.Call(ctx, c.Pool(), 0); err != nil {
		t.Errorf("a job gives %v, %v", v, err)
	}
	for _, tt := range []struct {
		name, want string
		o          cluster.Options
	}{
		{"a certificate that is not trusted", "certificate", cluster.Options{TLS: &tls.Config{MinVersion: tls.VersionTLS12}, Token: "key"}},
		{"no TLS", "certificate", cluster.Options{Token: "key"}},
		{"a wrong token", "uthorization", cluster.Options{TLS: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}, Token: "other"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.o.URLs, tt.o.Durability, tt.o.StartTimeout = []string{c.URL()}, cluster.Memory, 5*time.Second
			x, err := cluster.Open(ctx, tt.o)
			if err == nil {
				_ = x.Close(ctx)
				t.Fatal("Open succeeds")
			}
			if !strings.Contains(err.Error(), tt.want) {
				t.Errorf("the error is %q, want one with %q", err, tt.want)
			}
		})
	}
}

// Peers talk to each other by TLS, too: one without a certificate that they trust is no peer.
func TestPeersWithTLS(t *testing.T) {
	t.Parallel()
	cfg, _ := certificates(t)
	routes := []string{freeAddr(t), freeAddr(t), freeAddr(t)}
	peer := func(i int, cfg *tls.Config, patience time.Duration) (*cluster.Cluster, error) {
		return cluster.Open(context.Background(), cluster.Options{
			Dir: t.TempDir(), Listen: "127.0.0.1:0", Self: routes[i], Peers: routes, TLS: cfg, User: "u", Password: "p", StartTimeout: patience,
		})
	}
	var all sync.WaitGroup
	opened := make([]*cluster.Cluster, 3)
	for i := range opened {
		all.Go(func() {
			var err error
			if opened[i], err = peer(i, cfg, patience); err != nil {
				t.Error(err)
				return
			}
		})
	}
	all.Wait()
	for _, c := range opened {
		if c != nil {
			defer c.Close(context.Background())
		}
	}
	if t.Failed() {
		return
	}
	if err := opened[2].Close(context.Background()); err != nil {
		t.Error(err)
	}
	other, _ := certificates(t)
	if c, err := peer(2, other, 3*time.Second); err == nil {
		_ = c.Close(context.Background())
		t.Error("a peer with a certificate that nobody trusts is let in")
	}
	ctx := adopt(t)
	l := cluster.NewLock(opened[0], "l")
	if err := errors.Join(l.Acquire(ctx), l.Release(ctx)); err != nil {
		t.Errorf("a lock of two of three peers: %v", err)
	}
}

var taskSleepy = tristrand.Define("cluster.sleepy", func(ctx context.Context, d time.Duration) (string, error) {
	return strand.Current(ctx).Kind().String(), strand.Sleep(ctx, d)
})

// A worker whose engine are coroutines runs many jobs that wait at once.
func TestWorkerWithCoroutines(t *testing.T) {
	t.Parallel()
	ctx := adopt(t)
	c := open(t, cluster.Options{Durability: cluster.Memory})
	serve(t, c, &coro.Pool{Workers: 50})
	p := c.Pool()
	var fs []*tristrand.Future[string]
	began := time.Now()
	for range 50 {
		fs = append(fs, taskSleepy.Submit(ctx, p, 300*time.Millisecond))
	}
	for _, f := range fs {
		if kind, err := f.Result(ctx); kind != strand.Coroutine.String() || err != nil {
			t.Errorf("a job ran on a %s, %v", kind, err)
		}
	}
	if took := time.Since(began); took > 10*time.Second { // one by one it is 15 s
		t.Errorf("50 jobs that sleep took %v", took)
	}
	// One that is cancelled while it sleeps ends at once.
	inner, cancel := strand.WithTimeout(ctx, 200*time.Millisecond)
	defer cancel()
	if _, err := taskSleepy.Submit(inner, p, time.Hour).Result(ctx); err == nil {
		t.Error("a job whose ctx has ended has a result")
	}
}
