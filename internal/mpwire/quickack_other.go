//go:build !linux

package mpwire

import "net"

// QuickAck returns nil: only Linux lets a program say when to acknowledge.
func QuickAck(net.Conn) func() { return nil }
