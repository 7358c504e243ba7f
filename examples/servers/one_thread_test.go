package servers_test

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/tristrand/tristrand/server"
)

// S03: 500 clients at once, a coroutine for each. One runs at a time, so that they
// count together without a lock.
func TestACoroutineForEachClient(t *testing.T) {
	count, connected, most := 0, 0, 0 // no lock, no atomics
	s := &server.Server{Model: server.Coroutines{Hubs: 1}, Handler: server.HandlerFunc(func(_ context.Context, c *server.Conn) error {
		connected++
		most = max(most, connected)
		defer func() { connected-- }()
		for _, err := range c.Lines() {
			if err != nil {
				return err
			}
			count++
			if err := c.WriteLine("thanks"); err != nil {
				return err
			}
		}
		return nil
	})}
	addr := serve(t, s)
	var all, served sync.WaitGroup
	served.Add(500)
	for range 500 {
		all.Go(func() {
			c := call(t, addr)
			c.say("please")
			c.hear(t, "thanks")
			served.Done()
			served.Wait() // until the last one has been served
			_ = c.Close()
		})
	}
	all.Wait()
	if err := s.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprintln(count, "served,", most, "at once"); got != "500 served, 500 at once\n" {
		t.Error(got)
	}
}
