package servers_test

import (
	"context"
	"strings"
	"testing"

	"github.com/tristrand/tristrand/server"
)

// UpperCase sends lines back in capitals.
var UpperCase = server.Handle("examples.upper-case", func(_ context.Context, c *server.Conn) error {
	for line, err := range c.Lines() {
		if err != nil {
			return err
		}
		if err := c.WriteLine(strings.ToUpper(line)); err != nil {
			return err
		}
	}
	return nil
})

// S02: an echo in capitals and its client, over TCP and UDP.
func TestUpperCase(t *testing.T) {
	for _, addr := range []string{"127.0.0.1:0", "udp:127.0.0.1:0"} {
		c := call(t, serve(t, &server.Server{Addr: addr, Handler: UpperCase}))
		for _, line := range []string{"hello", "what a day"} {
			c.say(line)
			c.hear(t, strings.ToUpper(line))
		}
	}
}
