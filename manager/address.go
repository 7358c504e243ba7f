package manager

import (
	"fmt"
	"net"
	"strings"

	"github.com/tristrand/tristrand/internal/pickle"
)

// split returns the network and address that package net has for an address as
// this package writes them: "host:port" is TCP, anything with a slash is the
// path of a Unix socket, "@name" an abstract one.
func split(address string) (network, addr string, err error) {
	switch {
	case address == "":
		return "", "", fmt.Errorf("manager: an empty address; use host:port, a path with a slash, or @name")
	case address[0] == '@' || strings.ContainsRune(address, '/'):
		return "unix", address, nil
	}
	if _, _, err := net.SplitHostPort(address); err != nil {
		return "", "", fmt.Errorf("manager: address %q: %w; use host:port, a path with a slash, or @name", address, err)
	}
	return "tcp", address, nil
}

// Listen listens on an address: "host:port" (port 0 is any), the path of a Unix
// socket, in which there must be a slash, or "@name" for an abstract one.
func Listen(address string) (net.Listener, error) {
	network, addr, err := split(address)
	if err != nil {
		return nil, err
	}
	return net.Listen(network, addr)
}

// pyAddress is an address as Python has it: a tuple, a str, or bytes that begin
// with NUL.
func pyAddress(a net.Addr) any {
	switch a := a.(type) {
	case *net.TCPAddr:
		return pickle.Tuple{a.IP.String(), int64(a.Port)}
	case *net.UnixAddr:
		if strings.HasPrefix(a.Name, "@") {
			return pickle.Bytes("\x00" + a.Name[1:])
		}
		return a.Name
	default:
		return a.String()
	}
}
