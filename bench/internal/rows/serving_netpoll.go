//go:build linux || darwin

package rows

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"

	"github.com/cloudwego/netpoll"
)

const hasNetpoll = true

// netpollServe is echo on cloudwego's netpoll, as its guide has it: a callback for
// what has come, on goroutines of its pool.
func netpollServe(w io.Writer) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	nl, err := netpoll.ConvertListener(l)
	if err != nil {
		return err
	}
	loop, err := netpoll.NewEventLoop(func(_ context.Context, c netpoll.Connection) error {
		in, out := c.Reader(), c.Writer()
		b, err := in.Next(in.Len())
		if err != nil {
			return err
		}
		if _, err := out.WriteBinary(b); err != nil {
			return err
		}
		if err := out.Flush(); err != nil {
			return err
		}
		return in.Release()
	})
	if err != nil {
		return err
	}
	fmt.Fprintln(w, l.Addr())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		_ = loop.Shutdown(context.Background())
	}()
	return loop.Serve(nl)
}
