//go:build !linux

package mpwire

import (
	"io"
	"net"
)

// Eager returns c: waiting in the kernel is worth it on Linux only.
func Eager(c net.Conn) io.Reader { return c }
