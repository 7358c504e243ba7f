package coro

import (
	"context"
	"net"
)

// ShareForTest makes of l, which is not closed, one more that is the hub's, as
// Set.Serve does.
func ShareForTest(ctx context.Context, l net.Listener) (net.Listener, error) {
	h, _ := caller(ctx)
	return h.share(l)
}
