package server

import (
	"errors"
	"io"
	"net"

	"github.com/tristrand/tristrand/internal/proxyproto"
)

// readProxy reads the PROXY header, byte for byte no more than there is of it if
// TLS follows, and takes the addresses in it for the connection's.
func (k *core) readProxy(c *Conn) error {
	var held []byte
	buf := make([]byte, proxyproto.MaxBytes)
	for {
		n, err := c.sock.Read(buf[len(held):])
		held = buf[:len(held)+n]
		if n == 0 && err != nil {
			if errors.Is(err, io.EOF) && len(held) > 0 {
				return io.ErrUnexpectedEOF
			}
			return err
		}
		h, used, err := proxyproto.Parse(held)
		if errors.Is(err, proxyproto.ErrShort) && len(held) < len(buf) {
			continue
		}
		if err != nil {
			return err
		}
		if rest := held[used:]; len(rest) > 0 {
			c.reading.buf = append([]byte(nil), rest...)
		}
		return k.believe(c, h)
	}
}

// believe takes the client that the header names, and counts it.
func (k *core) believe(c *Conn, h proxyproto.Header) error {
	remote, local := c.remote, c.local
	switch {
	case h.Local:
	case h.Source.IsValid():
		remote, local = net.TCPAddrFromAddrPort(h.Source), net.TCPAddrFromAddrPort(h.Dest)
	default:
		remote = &net.UnixAddr{Name: h.SourcePath, Net: "unix"}
	}
	if k.name != nil && !k.name(c, remote, local) {
		return errPerAddr
	}
	return k.rename(c, remote, local)
}

// rename counts the client that a PROXY header names, and makes c one of its.
func (k *core) rename(c *Conn, remote, local net.Addr) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.countAddr(remote) {
		return errPerAddr
	}
	c.remote, c.local, c.greeted = remote, local, true
	return nil
}

// A rereadConn gives back what was read too much before it goes on.
type rereadConn struct {
	net.Conn
	rest []byte
}

// Read reads what was given back first.
func (r *rereadConn) Read(p []byte) (int, error) {
	if len(r.rest) == 0 {
		return r.Conn.Read(p)
	}
	n := copy(p, r.rest)
	if r.rest = r.rest[n:]; len(r.rest) == 0 {
		r.rest = nil
	}
	return n, nil
}
