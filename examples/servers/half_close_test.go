package servers_test

import (
	"context"
	"io"
	"strings"
	"testing"

	"github.com/tristrand/tristrand/server"
)

// Echo sends back what it gets, however much; it holds no buffer while it waits.
var Echo = server.Handle("examples.echo", func(_ context.Context, c *server.Conn) error {
	_, err := io.Copy(c, c)
	return err
})

// S06: the client ends its sending side, and still gets every byte.
func TestHalfClose(t *testing.T) {
	text := strings.Repeat("all of it, please. ", 100_000)
	for name, model := range models() {
		t.Run(name, func(t *testing.T) {
			c := call(t, serve(t, &server.Server{Handler: Echo, Model: model}))
			go func() {
				_, _ = io.WriteString(c, text)
				_ = c.Conn.(interface{ CloseWrite() error }).CloseWrite()
			}()
			if back, err := io.ReadAll(c.lines); string(back) != text {
				t.Errorf("%d bytes of %d came back: %v", len(back), len(text), err)
			}
		})
	}
}
