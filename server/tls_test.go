package server_test

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/tristrand/tristrand/server"
)

// certificate writes a certificate for localhost, which signs itself, into dir.
func certificate(t *testing.T, dir, name string) (cert, key string, pool *x509.CertPool) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	serial, _ := rand.Int(rand.Reader, big.NewInt(1<<60))
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name}, DNSNames: []string{"localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, _ := x509.MarshalPKCS8PrivateKey(private)
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	keyPEM := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})
	for file, data := range map[string][]byte{cert: certPEM, key: keyPEM} {
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pool = x509.NewCertPool()
	pool.AppendCertsFromPEM(certPEM)
	return cert, key, pool
}

func quiet(context.Context, net.Addr, error) {}

func askTLS(addr string, config *tls.Config, text string) (answer string, peer string, err error) {
	d := tls.Dialer{NetDialer: &net.Dialer{Timeout: patience}, Config: config}
	c, err := d.Dial("tcp", addr)
	if err != nil {
		return "", "", err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(patience))
	fmt.Fprintln(c, text)
	answer, err = bufio.NewReader(c).ReadString('\n')
	return answer, c.(*tls.Conn).ConnectionState().PeerCertificates[0].Subject.CommonName, err
}

func TestTLSAndReload(t *testing.T) {
	dir := t.TempDir()
	cert, key, pool := certificate(t, dir, "first")
	s := start(t, &server.Server{CertFile: cert, KeyFile: key, Handler: upper, OnError: quiet})
	ask := func() string {
		answer, peer, err := askTLS(s.addr.String(), &tls.Config{RootCAs: pool, ServerName: "localhost"}, "hello")
		if answer != "HELLO\n" || err != nil {
			t.Fatalf("got %q, %v", answer, err)
		}
		return peer
	}
	if peer := ask(); peer != "first" {
		t.Errorf("peer %q", peer)
	}
	if err := os.WriteFile(cert, []byte("nonsense"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.ReloadTLS(); err == nil {
		t.Error("a broken certificate was loaded")
	}
	if peer := ask(); peer != "first" {
		t.Errorf("peer %q after a failed reload", peer)
	}
	_, _, pool = certificate(t, dir, "second")
	if err := s.ReloadTLS(); err != nil {
		t.Fatal(err)
	}
	if peer := ask(); peer != "second" {
		t.Errorf("peer %q after the reload", peer)
	}
	_, _, third := certificate(t, dir, "third")
	eventually(t, func() (string, bool) { // by itself, within some seconds
		_, peer, err := askTLS(s.addr.String(), &tls.Config{RootCAs: third, ServerName: "localhost"}, "hello")
		return fmt.Sprint(peer, err), peer == "third"
	})
}

func TestTLSTrouble(t *testing.T) {
	cert, key, _ := certificate(t, t.TempDir(), "x")
	s := start(t, &server.Server{CertFile: cert, KeyFile: key, ClientCAFile: cert, HandshakeTimeout: 200 * time.Millisecond, Handler: upper, OnError: quiet})
	for name, say := range map[string]string{
		"plain text": "GET / HTTP/1.0\r\n\r\n", "a lying length": "\x16\x03\x01\xff\xff", "silence": "", "zeros": string(make([]byte, 1000)),
	} {
		c := s.dial(t)
		_, _ = io.WriteString(c, say)
		if _, err := io.ReadAll(c); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%s: the connection stays", name)
		}
	}
	// No certificate of its own: the server asks for one.
	if _, _, err := askTLS(s.addr.String(), &tls.Config{InsecureSkipVerify: true}, "hello"); err == nil {
		t.Error("a client without a certificate was served")
	}
	eventually(t, func() (string, bool) { return fmt.Sprintf("%+v", s.Stats()), s.Stats().Refused == 5 })
}

var whoAmI = server.HandlerFunc(func(_ context.Context, c *server.Conn) error {
	line, err := c.ReadLine()
	if err != nil {
		return err
	}
	return c.WriteLine(c.RemoteAddr().String() + " " + line)
})

func TestProxyHeader(t *testing.T) {
	loopback := []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	s := start(t, &server.Server{Proxy: loopback, MaxPerAddr: 1, HandshakeTimeout: patience, Handler: whoAmI, OnError: quiet})
	hasty := start(t, &server.Server{Proxy: loopback, HandshakeTimeout: 200 * time.Millisecond, Handler: whoAmI, OnError: quiet})
	v2 := "\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\x0a\x00\x00\x07\x0a\x00\x00\x01\x00\x50\x00\x51"
	for name, tt := range map[string]struct{ say, want string }{
		"version 1":      {"PROXY TCP4 192.0.2.1 192.0.2.2 1234 80\r\nhi\n", "192.0.2.1:1234 hi\n"},
		"version 1 v6":   {"PROXY TCP6 2001:db8::1 2001:db8::2 1234 80\r\nhi\n", "[2001:db8::1]:1234 hi\n"},
		"version 2":      {v2 + "hi\n", "10.0.0.7:80 hi\n"},
		"none":           {"hi\n", ""},
		"not an IP":      {"PROXY TCP4 localhost 192.0.2.2 1234 80\r\nhi\n", ""},
		"other family":   {"PROXY TCP4 ::1 ::1 1234 80\r\nhi\n", ""},
		"a port too far": {"PROXY TCP4 192.0.2.1 192.0.2.2 123456 80\r\nhi\n", ""},
		"no end":         {"PROXY TCP4 " + string(make([]byte, 200)), ""},
		"v2 cut off":     {v2[:20], ""},
		"v2 lies":        {v2[:14] + "\x00\x04" + v2[16:], ""},
		"v2 huge":        {v2[:14] + "\xff\xff" + v2[16:], ""},
		"silence":        {"", ""},
	} {
		t.Run(name, func(t *testing.T) {
			c := s.dial(t)
			if tt.want == "" {
				c = hasty.dial(t)
			}
			_, _ = io.WriteString(c, tt.say)
			got, err := io.ReadAll(c)
			if string(got) != tt.want || errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
	// The client that it names is counted, not the balancer.
	first, second := s.dial(t), s.dial(t)
	_, _ = io.WriteString(first, "PROXY TCP4 192.0.2.9 192.0.2.2 1 80\r\n")
	eventually(t, func() (string, bool) {
		n := 0
		for v := range s.Conns() {
			if v.Remote == "192.0.2.9:1" {
				n++
			}
		}
		return fmt.Sprint(n), n == 1
	})
	_, _ = io.WriteString(second, "PROXY TCP4 192.0.2.9 192.0.2.2 2 80\r\nhi\n")
	if got, _ := io.ReadAll(second); len(got) != 0 {
		t.Errorf("a second one of the same client got %q", got)
	}
}

// A header from somebody who is no balancer is not believed.
func TestProxyHeaderOfAStranger(t *testing.T) {
	s := start(t, &server.Server{Proxy: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, Handler: whoAmI})
	c := s.dial(t)
	_, _ = io.WriteString(c, "PROXY TCP4 192.0.2.1 192.0.2.2 1234 80\r\n")
	if got, _ := bufio.NewReader(c).ReadString('\n'); got != c.LocalAddr().String()+" PROXY TCP4 192.0.2.1 192.0.2.2 1234 80\n" {
		t.Errorf("got %q", got)
	}
}

func TestProxyThenTLS(t *testing.T) {
	cert, key, pool := certificate(t, t.TempDir(), "x")
	s := start(t, &server.Server{Proxy: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, CertFile: cert, KeyFile: key, Handler: whoAmI})
	c := s.dial(t)
	tc := tls.Client(&prefixed{Conn: c, head: "PROXY TCP4 192.0.2.1 192.0.2.2 1234 80\r\n"}, &tls.Config{RootCAs: pool, ServerName: "localhost"})
	fmt.Fprintln(tc, "hi")
	if got, err := bufio.NewReader(tc).ReadString('\n'); got != "192.0.2.1:1234 hi\n" {
		t.Errorf("got %q, %v", got, err)
	}
}

// prefixed sends head in one piece with what is written first.
type prefixed struct {
	net.Conn
	head string
}

func (p *prefixed) Write(b []byte) (int, error) {
	head := p.head
	p.head = ""
	n, err := p.Conn.Write(append([]byte(head), b...))
	return max(n-len(head), 0), err
}
