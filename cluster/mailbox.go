package cluster

import (
	"sync"

	"github.com/nats-io/nats.go"
)

// A mailbox has messages handled by a goroutine of its own, in order. It is for handlers
// that call what users have given: a function that ends its goroutine (a test's FailNow,
// say) ends none of the connection's, and what is left is handled by the next.
type mailbox struct {
	handle func(*nats.Msg)

	mu     sync.Mutex // guards the rest
	queue  []*nats.Msg
	wake   sync.Cond
	closed bool
}

func newMailbox(handle func(*nats.Msg)) *mailbox {
	b := &mailbox{handle: handle}
	b.wake.L = &b.mu
	go b.run()
	return b
}

// put is the handler of a subscription.
func (b *mailbox) put(m *nats.Msg) {
	b.mu.Lock()
	if b.queue = append(b.queue, m); len(b.queue) == 1 {
		b.wake.Signal()
	}
	b.mu.Unlock()
}

// close ends the goroutine when it has nothing to do. It does not wait: it may be called by
// the handler.
func (b *mailbox) close() {
	b.mu.Lock()
	b.closed = true
	b.wake.Signal()
	b.mu.Unlock()
}

func (b *mailbox) run() {
	var now []*nats.Msg
	returned := false
	defer func() {
		if returned {
			return
		}
		b.mu.Lock()
		b.queue = append(now, b.queue...)
		b.mu.Unlock()
		go b.run()
	}()
	for {
		b.mu.Lock()
		for len(b.queue) == 0 && !b.closed {
			b.wake.Wait()
		}
		if len(b.queue) == 0 {
			b.mu.Unlock()
			break
		}
		now, b.queue = b.queue, nil
		b.mu.Unlock()
		for len(now) > 0 {
			m := now[0]
			now = now[1:]
			b.handle(m)
		}
	}
	returned = true
}
