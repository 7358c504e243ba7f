package servers_test

import (
	"context"
	"testing"

	"github.com/tristrand/tristrand/server"
)

// PhoneMenu is what a caller talks to. It has a name, so that worker processes find
// it.
var PhoneMenu = server.Handle("examples.phone-menu", func(_ context.Context, c *server.Conn) error {
	if err := c.WriteLine("hello, press 0 or say exit"); err != nil {
		return err
	}
	for line, err := range c.Lines() {
		if err != nil {
			return err
		}
		switch line {
		case "0":
			err = c.WriteLine("this call is recorded")
		case "exit":
			return c.WriteLine("goodbye")
		default:
			err = c.WriteLine("again please")
		}
		if err != nil {
			return err
		}
	}
	return nil
})

// S01: two callers at once do not notice each other; thread, process or coroutine is
// one word.
func TestPhoneMenu(t *testing.T) {
	for name, model := range models() {
		t.Run(name, func(t *testing.T) {
			addr := serve(t, &server.Server{Handler: PhoneMenu, Model: model})
			egon, eva := call(t, addr), call(t, addr)
			egon.hear(t, "hello, press 0 or say exit")
			eva.hear(t, "hello, press 0 or say exit")
			egon.say("0")
			eva.say("what?")
			eva.hear(t, "again please")
			egon.hear(t, "this call is recorded")
			eva.say("exit")
			eva.hear(t, "goodbye")
			egon.say("hm")
			egon.hear(t, "again please") // the end of one is not the end of the other
		})
	}
}
