package server_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/server"
)

// models are those that the system has.
func models() map[string]server.Model {
	all := map[string]server.Model{"threads": server.Threads{}, "coroutines": server.Coroutines{}, "hubs": server.Coroutines{Hubs: 2}}
	if runtime.GOOS == "linux" {
		all["processes"] = server.Processes{Workers: 2}
		all["fresh"] = server.Processes{Workers: 2, PerConnection: true}
	}
	return all
}

// teller tells its client what is called, in whatever process that is.
type teller struct{}

func (teller) Verify(_ context.Context, c *server.Conn) error {
	if b, err := c.Peek(1); err != nil || b[0] == '!' {
		return errors.Join(errors.New("not this one"), err)
	}
	return c.WriteLine("verify")
}

func (teller) Setup(_ context.Context, c *server.Conn) error { return c.WriteLine("setup") }

func (teller) ServeConn(_ context.Context, c *server.Conn) error {
	word, err := c.ReadLine()
	if err != nil {
		return err
	}
	switch word {
	case "panic":
		panic("on purpose")
	case "error":
		return errors.New("on purpose")
	}
	return c.WriteLine("serve")
}

func (teller) Finish(_ context.Context, c *server.Conn, err error) error {
	var p *tristrand.PanicError
	return errors.Join(err, c.WriteLine(fmt.Sprintf("finish well=%v panic=%v", err == nil, errors.As(err, &p))))
}

var tells = server.Register("test.teller", teller{})

// Handlers have all of their hooks on every model, and the server counts alike.
func TestHooksOnEveryModel(t *testing.T) {
	for name, model := range models() {
		t.Run(name, func(t *testing.T) {
			reports := make(chan error, 10)
			s := start(t, &server.Server{Handler: tells, Model: model, OnError: func(_ context.Context, _ net.Addr, err error) { reports <- err }})
			for say, want := range map[string]string{
				"fine":  "verify setup serve finish well=true panic=false",
				"error": "verify setup finish well=false panic=false",
				"panic": "verify setup finish well=false panic=true",
				"!":     "",
			} {
				c := s.dial(t)
				_, _ = io.WriteString(c, say+"\n")
				got, err := io.ReadAll(c)
				if text := strings.Join(strings.Fields(string(got)), " "); text != want || err != nil {
					t.Errorf("%s: %q, %v; want %q", say, text, err, want)
				}
				if say != "fine" {
					if err := <-reports; err == nil {
						t.Errorf("%s: reported nil", say)
					}
				}
			}
			eventually(t, func() (string, bool) { st := s.Stats(); return fmt.Sprintf("%+v", st), st.Finished == 4 })
			if st := s.Stats(); st.Accepted != 4 || st.Failed != 2 || st.Panicked != 1 || st.Refused != 1 || st.Crashed != 0 || len(reports) != 0 {
				t.Errorf("%+v, and %d more reports", st, len(reports))
			}
		})
	}
}
