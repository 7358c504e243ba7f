//go:build !unix

package manager

import "net"

// a peeker looks whether a connection that nobody reads is still there.
type peeker struct{}

// newPeeker returns nil: it cannot be seen here without reading.
func newPeeker(net.Conn) *peeker { return nil }

func (*peeker) gone() bool { return false }
