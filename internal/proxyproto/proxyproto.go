// Package proxyproto reads the PROXY header with which a load balancer says whose
// connection it passes on.
//
// Both versions are read: the line of text and the binary one. What a header may
// hold is checked to the letter, because whoever can send one can name any client.
// Whom to believe is the caller's to decide.
//
// Source: https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt
package proxyproto

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// MaxBytes is the longest header that Parse takes. The binary form could have
// 64 KiB of additions, which nobody sends.
const MaxBytes = 4 << 10

// maxText is the longest line of version 1, its end included.
const maxText = 107

// ErrShort says that the header goes on: read more and parse again.
var ErrShort = errors.New("the header is not whole")

// A Header is what the balancer says.
type Header struct {
	// Local says that the connection is the balancer's own (a health check), or that
	// it does not know whose it is: the addresses are those of the socket.
	Local bool

	Source, Dest netip.AddrPort // of TCP over IPv4 or IPv6; not valid if Local, or for Unix sockets
	SourcePath   string         // of a Unix socket
}

var signature = []byte("\r\n\r\n\x00\r\nQUIT\n")

// Parse reads the header at the beginning of b and returns how long it is.
func Parse(b []byte) (h Header, n int, err error) {
	switch {
	case bytes.HasPrefix(b, signature):
		return parseBinary(b)
	case bytes.HasPrefix(b, []byte("PROXY ")):
		return parseText(b)
	case bytes.HasPrefix(signature, b), strings.HasPrefix("PROXY ", string(b)):
		return h, 0, ErrShort
	default:
		return h, 0, fmt.Errorf("it begins with %.16q, which is no PROXY header", b)
	}
}

func parseText(b []byte) (h Header, n int, err error) {
	end := bytes.Index(b[:min(len(b), maxText)], []byte("\r\n"))
	if end < 0 {
		if len(b) >= maxText {
			return h, 0, fmt.Errorf("the line has no end within %d bytes", maxText)
		}
		return h, 0, ErrShort
	}
	line := string(b[:end])
	n = end + 2
	f := strings.Split(line, " ")
	if len(f) >= 2 && f[1] == "UNKNOWN" {
		return Header{Local: true}, n, nil
	}
	if len(f) != 6 || f[1] != "TCP4" && f[1] != "TCP6" {
		return h, 0, fmt.Errorf("%q is not of the form PROXY TCP4 SOURCE DESTINATION SOURCE-PORT DESTINATION-PORT", line)
	}
	if h.Source, err = endpoint(f[1], f[2], f[4]); err != nil {
		return Header{}, 0, err
	}
	if h.Dest, err = endpoint(f[1], f[3], f[5]); err != nil {
		return Header{}, 0, err
	}
	return h, n, nil
}

func endpoint(family, ip, port string) (netip.AddrPort, error) {
	addr, err := netip.ParseAddr(ip)
	if err != nil || addr.Zone() != "" || addr.Is4() != (family == "TCP4") {
		return netip.AddrPort{}, fmt.Errorf("%q is no address of %s", ip, family)
	}
	p, err := strconv.ParseUint(port, 10, 16)
	if err != nil || port != strconv.FormatUint(p, 10) { // no sign, no leading zero
		return netip.AddrPort{}, fmt.Errorf("%q is no port", port)
	}
	return netip.AddrPortFrom(addr, uint16(p)), nil
}

// The binary form: the signature, version and command, family and transport, the
// length of the rest, addresses, additions.
func parseBinary(b []byte) (h Header, n int, err error) {
	const fixed = 16
	if len(b) < fixed {
		return h, 0, ErrShort
	}
	if b[12]>>4 != 2 {
		return h, 0, fmt.Errorf("version %d is unknown", b[12]>>4)
	}
	command, family := b[12]&0xf, b[13]
	size := int(binary.BigEndian.Uint16(b[14:]))
	n = fixed + size
	if n > MaxBytes {
		return h, 0, fmt.Errorf("it has %d bytes; at most %d are taken", n, MaxBytes)
	}
	if command > 1 {
		return h, 0, fmt.Errorf("command %d is unknown", command)
	}
	if len(b) < n {
		return h, 0, ErrShort
	}
	body := b[fixed:n]
	if command == 0 {
		return Header{Local: true}, n, nil
	}
	switch family {
	case 0x11, 0x12: // TCP and UDP over IPv4
		h.Source, h.Dest, body, err = addresses(body, 4)
	case 0x21, 0x22: // over IPv6
		h.Source, h.Dest, body, err = addresses(body, 16)
	case 0x31, 0x32: // Unix
		const path = 108
		if len(body) < 2*path {
			return h, 0, errors.New("it is too short for the paths of Unix sockets")
		}
		h.SourcePath = string(bytes.TrimRight(body[:path], "\x00"))
		body = body[2*path:]
	case 0: // not specified: the socket's own
		h.Local, body = true, nil
	default:
		return h, 0, fmt.Errorf("family and transport %#x are unknown", family)
	}
	if err == nil {
		err = additions(body)
	}
	if err != nil {
		return Header{}, 0, err
	}
	return h, n, nil
}

func addresses(body []byte, size int) (source, dest netip.AddrPort, rest []byte, err error) {
	if len(body) < 2*size+4 {
		return source, dest, nil, fmt.Errorf("%d bytes are too few for two addresses of %d", len(body), size)
	}
	s, _ := netip.AddrFromSlice(body[:size])
	d, _ := netip.AddrFromSlice(body[size : 2*size])
	ports := body[2*size:]
	return netip.AddrPortFrom(s, binary.BigEndian.Uint16(ports)), netip.AddrPortFrom(d, binary.BigEndian.Uint16(ports[2:])),
		body[2*size+4:], nil
}

// additions checks that types, lengths and values fill b.
func additions(b []byte) error {
	for len(b) > 0 {
		if len(b) < 3 || len(b)-3 < int(binary.BigEndian.Uint16(b[1:])) {
			return errors.New("its additions are cut off")
		}
		b = b[3+int(binary.BigEndian.Uint16(b[1:])):]
	}
	return nil
}
