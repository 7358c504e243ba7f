package servers_test

import (
	"context"
	"errors"
	"io"
	"os"
	"strconv"
	"testing"

	"github.com/tristrand/tristrand/server"
)

// Tell answers each line with who has read it.
var Tell = server.Handle("examples.tell", func(_ context.Context, c *server.Conn) error {
	for line, err := range c.Lines() {
		if err != nil {
			return err
		}
		if err := c.WriteLine(strconv.Itoa(os.Getpid()) + " " + line); err != nil {
			return err
		}
	}
	return nil // the end of the client's input: the connection is closed
})

// S04: what clients send, read by a thread or by a process; a server that was
// stopped starts again on the same address at once.
func TestPrintWhatComes(t *testing.T) {
	here := strconv.Itoa(os.Getpid())
	for name, model := range models() {
		t.Run(name, func(t *testing.T) {
			addr := "127.0.0.1:0"
			for range 3 {
				s := &server.Server{Addr: addr, Handler: Tell, Model: model}
				where := serve(t, s)
				addr = where.String()
				c := call(t, where)
				c.say("hello")
				answer, err := c.lines.ReadString('\n')
				if err != nil {
					t.Fatal(err)
				}
				_, isProcess := model.(server.Processes)
				if in := answer == here+" hello\n"; in == isProcess {
					t.Errorf("%q on %s", answer, name)
				}
				_ = c.Conn.(interface{ CloseWrite() error }).CloseWrite()
				if _, err := c.lines.ReadByte(); !errors.Is(err, io.EOF) {
					t.Errorf("the server did not hang up: %v", err)
				}
				if err := s.Shutdown(t.Context()); err != nil { // and now again
					t.Fatal(err)
				}
			}
		})
	}
}
