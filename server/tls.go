package server

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"
)

// certificates is the TLS of a server. Certificates that came from files are read
// again when the files have changed.
type certificates struct {
	config *tls.Config
	files  tlsFiles

	report func(err error)

	mu      sync.Mutex // guards the rest
	loaded  *tls.Certificate
	stamp   [2]fileStamp
	checked time.Time
	failed  string // the error that was reported last
}

// tlsFiles says where certificates are. It crosses to workers.
type tlsFiles struct {
	Cert, Key, ClientCA string
	Tickets             [32]byte // the key of session tickets, which workers share
}

type fileStamp struct {
	modified time.Time
	size     int64
}

// checkFiles is how often the files are looked at, when somebody connects.
const checkFiles = time.Second

// newCertificates makes the TLS of a server from config, which may be nil, and
// from files, which may be none.
func newCertificates(config *tls.Config, files tlsFiles, report func(error)) (*certificates, error) {
	k := &certificates{files: files, report: report}
	if config == nil {
		config = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	k.config = config.Clone()
	if files.ClientCA != "" {
		pem, err := os.ReadFile(files.ClientCA)
		if err != nil {
			return nil, fmt.Errorf("server: ClientCAFile: %w", err)
		}
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("server: ClientCAFile %s holds no certificate in PEM", files.ClientCA)
		}
		k.config.ClientCAs, k.config.ClientAuth = pool, tls.RequireAndVerifyClientCert
	}
	if files.Tickets != [32]byte{} {
		k.config.SetSessionTicketKeys([][32]byte{files.Tickets})
	}
	if files.Cert != "" {
		if err := k.load(); err != nil {
			return nil, err
		}
		k.config.GetCertificate = k.get
	}
	if len(k.config.Certificates) == 0 && k.config.GetCertificate == nil && k.config.GetConfigForClient == nil {
		return nil, errors.New("server: TLS needs a certificate: set CertFile and KeyFile, or TLS.Certificates")
	}
	return k, nil
}

func (k *certificates) stamps() (s [2]fileStamp, err error) {
	for i, name := range []string{k.files.Cert, k.files.Key} {
		info, err := os.Stat(name)
		if err != nil {
			return s, err
		}
		s[i] = fileStamp{info.ModTime(), info.Size()}
	}
	return s, nil
}

// load reads the files; k.mu is held or nobody else has k.
func (k *certificates) load() error {
	s, err := k.stamps()
	if err != nil {
		return fmt.Errorf("server: CertFile and KeyFile: %w", err)
	}
	pair, err := tls.LoadX509KeyPair(k.files.Cert, k.files.Key)
	if err != nil {
		return fmt.Errorf("server: CertFile %s and KeyFile %s: %w", k.files.Cert, k.files.Key, err)
	}
	k.loaded, k.stamp, k.checked, k.failed = &pair, s, time.Now(), ""
	return nil
}

// get returns the certificate, read again if its files have changed. Files that
// cannot be used leave the one before in its place, and are reported once.
func (k *certificates) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if time.Since(k.checked) < checkFiles {
		return k.loaded, nil
	}
	k.checked = time.Now()
	s, err := k.stamps()
	if err == nil && s == k.stamp {
		return k.loaded, nil
	}
	if err == nil {
		err = k.load()
	}
	if err != nil && err.Error() != k.failed && k.report != nil {
		k.failed = err.Error()
		k.report(fmt.Errorf("the certificate before is still used: %w", err))
	}
	return k.loaded, nil
}

// reload reads the files now.
func (k *certificates) reload() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.load()
}

// accept puts TLS over the socket of c.
func (k *certificates) accept(c *Conn) error {
	sock := c.sock
	if rest := c.reading.buf; len(rest) > 0 {
		c.reading.buf = nil
		sock = &rereadConn{sock, rest}
	}
	t := tls.Server(sock, k.config)
	c.conn = t
	return t.Handshake()
}

// ReloadTLS reads CertFile and KeyFile again at once; otherwise they are looked at
// when a client connects, once a second at most. After an error the certificate
// before is still used. Worker processes look for themselves.
func (s *Server) ReloadTLS() error {
	r := s.running()
	if r == nil || r.core.tls == nil || r.core.tls.files.Cert == "" {
		return errors.New("server: ReloadTLS: it is for a server that runs and has a CertFile")
	}
	return r.core.tls.reload()
}
