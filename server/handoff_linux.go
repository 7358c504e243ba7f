package server

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tristrand/tristrand/internal/wire"
)

// What this process and a worker tell each other, in packets over a socket. The
// first byte says what it is.
const (
	opConfig  = iota + 1 // here: a setup, in CBOR
	opConn               // here: a connection, with its descriptor, or a datagram
	opLevel              // here: how far the shutdown has come
	opEnd                // here: leave when nobody is served
	opReady              // worker: it has its handler
	opGot                // worker: it has taken connections
	opLost               // worker: a descriptor did not arrive
	opDone               // worker: connections have ended
	opError              // worker: somebody should see an error
	opName               // worker: a client as a PROXY header names it
	opVerdict            // here: whether that one may come
)

// A setup is what a worker is told first.
type setup struct {
	Handler string        `cbor:"1,keyasint"`
	Idle    time.Duration `cbor:"2,keyasint"`
	Read    time.Duration `cbor:"3,keyasint"`
	Write   time.Duration `cbor:"4,keyasint"`
	Hand    time.Duration `cbor:"5,keyasint"`
	Drain   time.Duration `cbor:"6,keyasint"`
	Line    int           `cbor:"7,keyasint"`
	Record  int           `cbor:"8,keyasint"`
	Ask     bool          `cbor:"9,keyasint"` // whether a client may come
	Proxy   []string      `cbor:"10,keyasint"`
	Cert    string        `cbor:"11,keyasint"`
	Key     string        `cbor:"12,keyasint"`
	CA      string        `cbor:"13,keyasint"`
	Tickets []byte        `cbor:"14,keyasint"`
	Once    bool          `cbor:"15,keyasint"` // it serves one connection and ends
}

func (s *setup) conf() (c conf, err error) {
	c = conf{
		IdleTimeout: s.Idle, ReadTimeout: s.Read, WriteTimeout: s.Write, HandshakeTimeout: s.Hand, DrainIdle: s.Drain,
		MaxLineBytes: s.Line, MaxRecordBytes: s.Record,
	}
	for _, text := range s.Proxy {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			return c, err
		}
		c.Proxy = append(c.Proxy, p)
	}
	return c, nil
}

func newSetup(r *room, name string, once bool) setup {
	c := &r.core.conf
	s := setup{
		Handler: name, Idle: c.IdleTimeout, Read: c.ReadTimeout, Write: c.WriteTimeout, Hand: c.HandshakeTimeout,
		Drain: c.DrainIdle, Line: c.MaxLineBytes, Record: c.MaxRecordBytes, Once: once, Ask: c.MaxPerAddr > 0,
	}
	for _, p := range c.Proxy {
		s.Proxy = append(s.Proxy, p.String())
	}
	if t := r.core.tls; t != nil {
		s.Cert, s.Key, s.CA, s.Tickets = t.files.Cert, t.files.Key, t.files.ClientCA, t.files.Tickets[:]
	}
	return s
}

func (s *setup) encode() ([]byte, error) {
	var buf bytes.Buffer
	buf.WriteByte(opConfig)
	err := wire.Encode(&buf, s)
	return buf.Bytes(), err
}

// A report is an error of a connection in a worker.
type report struct {
	Remote string `cbor:"1,keyasint"`
	Text   string `cbor:"2,keyasint"`
	Panic  bool   `cbor:"3,keyasint"`
	Stack  []byte `cbor:"4,keyasint"`
}

// Sizes: a packet holds a datagram, or an error's text and stack.
const (
	maxPacket   = maxDatagramBytes + 1024
	maxStack    = 16 << 10
	recordBytes = 9   // of opGot, opLost, opDone: the number, and how it ended
	maxRecords  = 100 // in one packet
)

// A channel is one end of the socket. Sending and receiving are for one goroutine
// each at a time.
type channel struct{ conn *net.UnixConn }

// newChannels returns our end, and the worker's as a file.
func newChannels() (channel, *os.File, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return channel{}, nil, os.NewSyscallError("socketpair", err)
	}
	theirs := os.NewFile(uintptr(fds[1]), "server")
	ours, err := openChannel(os.NewFile(uintptr(fds[0]), "server"))
	if err != nil {
		_ = theirs.Close()
	}
	return ours, theirs, err
}

// openChannel takes f over.
func openChannel(f *os.File) (channel, error) {
	defer func() { _ = f.Close() }()
	c, err := net.FileConn(f)
	if err != nil {
		return channel{}, err
	}
	u, ok := c.(*net.UnixConn)
	if !ok {
		_ = c.Close()
		return channel{}, fmt.Errorf("server: %T is no Unix socket", c)
	}
	return channel{u}, nil
}

func (ch channel) close() { _ = ch.conn.Close() }

// send sends a packet, with a descriptor unless fd is below 0.
func (ch channel) send(p []byte, fd int) error {
	if fd < 0 {
		_, err := ch.conn.Write(p)
		return err
	}
	_, _, err := ch.conn.WriteMsgUnix(p, unix.UnixRights(fd), nil)
	return err
}

// errLost says that the descriptor of a packet did not arrive.
var errLost = errors.New("server: a descriptor did not arrive: all of this process's are in use (ulimit -n)")

// receive returns a packet and the descriptor that came with it, or -1. With
// errLost the packet is whole.
func (ch channel) receive(buf, rights []byte) (p []byte, fd int, err error) {
	n, nr, flags, _, err := ch.conn.ReadMsgUnix(buf, rights)
	if errors.Is(err, unix.ECONNRESET) { // it ended without having read all; what it sent before that is still to come
		n, nr, flags, _, err = ch.conn.ReadMsgUnix(buf, rights)
	}
	fd = -1
	if nr > 0 {
		fd = firstRight(rights[:nr])
	}
	switch {
	case err != nil:
	case n == 0:
		err = io.EOF
	case flags&unix.MSG_CTRUNC != 0:
		err = errLost
	case flags&unix.MSG_TRUNC != 0:
		err = errors.New("server: a packet is too long")
	}
	if err != nil && fd >= 0 {
		_ = unix.Close(fd)
		fd = -1
	}
	return buf[:max(n, 0)], fd, err
}

// firstRight returns the first descriptor in a control message, and closes others.
func firstRight(b []byte) int {
	msgs, err := unix.ParseSocketControlMessage(b)
	if err != nil {
		return -1
	}
	first := -1
	for i := range msgs {
		fds, err := unix.ParseUnixRights(&msgs[i])
		if err != nil {
			continue
		}
		for _, fd := range fds {
			if first < 0 {
				first = fd // close-on-exec was asked for: net does
				continue
			}
			_ = unix.Close(fd)
		}
	}
	return first
}

// appendConn appends an opConn: the number, when it was accepted, the addresses, and what a datagram
// holds.
func appendConn(b []byte, seq uint64, since int64, remote, local net.Addr, data []byte) []byte {
	b = append(b, opConn)
	b = binary.LittleEndian.AppendUint64(b, seq)
	b = binary.LittleEndian.AppendUint64(b, uint64(since)) //nolint:gosec // read as it is written
	b = appendAddr(b, remote)
	b = appendAddr(b, local)
	return append(b, data...)
}

func parseConn(b []byte) (seq uint64, since int64, remote, local net.Addr, data []byte, err error) {
	if len(b) < 17 {
		return 0, 0, nil, nil, nil, errPacket
	}
	seq, since = binary.LittleEndian.Uint64(b[1:]), int64(binary.LittleEndian.Uint64(b[9:])) //nolint:gosec // as above
	b = b[17:]
	if remote, b, err = parseAddr(b); err == nil {
		local, b, err = parseAddr(b)
	}
	return seq, since, remote, local, b, err
}

var errPacket = errors.New("server: a packet that makes no sense")

// Kinds of addresses in packets.
const (
	addrNone = iota
	addrTCP
	addrUDP
	addrUnix
	addrUnixgram
)

func appendAddr(b []byte, a net.Addr) []byte {
	kind, text := byte(addrNone), []byte(nil)
	switch a := a.(type) {
	case *net.TCPAddr:
		kind = addrTCP
		text, _ = a.AddrPort().MarshalBinary()
	case *net.UDPAddr:
		kind = addrUDP
		text, _ = a.AddrPort().MarshalBinary()
	case *net.UnixAddr:
		if kind, text = addrUnix, []byte(a.Name); a.Net == "unixgram" {
			kind = addrUnixgram
		}
	}
	b = append(b, kind, byte(len(text))) //nolint:gosec // the path of a Unix socket has 108 bytes at most
	return append(b, text...)
}

func parseAddr(b []byte) (net.Addr, []byte, error) {
	if len(b) < 2 || len(b) < 2+int(b[1]) {
		return nil, nil, errPacket
	}
	kind, text, rest := b[0], b[2:2+int(b[1])], b[2+int(b[1]):]
	var ap netip.AddrPort
	switch kind {
	case addrTCP, addrUDP:
		if err := ap.UnmarshalBinary(text); err != nil {
			return nil, nil, errPacket
		}
		if kind == addrTCP {
			return net.TCPAddrFromAddrPort(ap), rest, nil
		}
		return net.UDPAddrFromAddrPort(ap), rest, nil
	case addrUnix:
		return &net.UnixAddr{Name: string(text), Net: "unix"}, rest, nil
	case addrUnixgram:
		return &net.UnixAddr{Name: string(text), Net: "unixgram"}, rest, nil
	}
	return &net.UnixAddr{Net: "unix"}, rest, nil
}

// appendRecord appends what a worker says of a connection.
func appendRecord(b []byte, op byte, seq uint64, e ending) []byte {
	if len(b) == 0 {
		b = append(b, op)
	}
	return append(binary.LittleEndian.AppendUint64(b, seq), byte(e))
}
