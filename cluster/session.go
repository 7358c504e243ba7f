package cluster

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/strand"
)

// A session is what the locks and waits of this process hang on: while its key is in the
// store the process is alive for the others. It is renewed as long as the process runs and
// reaches the store.
type session struct {
	c  *Cluster
	id string

	mu     sync.Mutex // guards the rest
	sent   time.Time  // when the last renewal that was confirmed was sent
	lost   bool
	over   bool
	timer  *time.Timer
	onLost map[int]func()
	n      int
	graph  *graph
	remove func()
}

// keepOf is how much of the lease a holder trusts: the rest is for clocks that do not run
// alike.
func keepOf(lease time.Duration) time.Duration { return lease * 2 / 3 }

// sessionOf returns the session of this process, and begins it if there is none.
func (c *Cluster) sessionOf(ctx context.Context) (*session, error) {
	c.mu.Lock()
	s := c.sess
	closing := c.closing
	c.mu.Unlock()
	if closing {
		return nil, errClosed
	}
	if s != nil && !s.isLost() {
		return s, nil
	}
	if err := c.ensure(ctx, streamSession, streamSync); err != nil {
		return nil, err
	}
	fresh := &session{c: c, id: newID(), onLost: make(map[int]func())}
	for until := time.Now().Add(casPatience); ; {
		err := fresh.renew(ctx)
		if err == nil {
			break
		}
		if !away(err) || time.Now().After(until) {
			return nil, err
		}
		if err := strand.Sleep(ctx, reconnectWait); err != nil {
			return nil, err
		}
	}
	c.mu.Lock()
	if c.sess != nil && !c.sess.isLost() { // another strand was first
		s = c.sess
		c.mu.Unlock()
		fresh.end(ctx)
		return s, nil
	}
	if c.sess == nil {
		c.closers = append(c.closers, func(ctx context.Context) {
			c.mu.Lock()
			s := c.sess
			c.mu.Unlock()
			s.end(ctx)
		})
	}
	c.sess = fresh
	c.mu.Unlock()
	fresh.publish()
	fresh.schedule()
	if c.info.Replicas > 1 {
		c.keepSpread()
	}
	return fresh, nil
}

func (s *session) subject(id string) string { return s.c.subject("n." + id) }

// ttl is what the store is told: whole seconds, at least one.
func (s *session) ttl() string {
	secs := int64((s.c.opts.Lease + time.Second - 1) / time.Second)
	return strconv.FormatInt(max(secs, 1), 10) + "s"
}

// renew tells the store that the process lives.
func (s *session) renew(ctx context.Context) error {
	sent := time.Now()
	hdr := nats.Header{"Nats-TTL": []string{s.ttl()}}
	m, err := s.c.link.call(ctx, "the renewal of a lease", s.subject(s.id), hdr, []byte(hostName()), max(s.c.opts.Lease/3, time.Second/2))
	if _, err = readReceipt(m, err); err != nil {
		return fmt.Errorf("cluster: the session of this process: %w", err)
	}
	s.mu.Lock()
	s.sent = sent
	s.mu.Unlock()
	return nil
}

func (s *session) schedule() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.over {
		s.timer = time.AfterFunc(s.c.opts.Lease/5, s.keep)
	}
}

// keep renews the lease, or gives it up.
func (s *session) keep() {
	if s.isLost() { // it was stopped for long: whoever had its locks has lost them
		s.tellLost()
		return
	}
	_ = s.renew(context.Background()) // the next time, while there is one
	if s.isLost() {
		s.tellLost()
		return
	}
	s.schedule()
}

// isLost reports whether the lease cannot be relied on any more: by this process's own
// monotonic clock, from when the last renewal was sent.
func (s *session) isLost() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.lost && !s.sent.IsZero() && time.Since(s.sent) > keepOf(s.c.opts.Lease) {
		s.lost = true
	}
	return s.lost
}

func (s *session) tellLost() {
	s.mu.Lock()
	fns := s.onLost
	s.onLost = nil
	s.mu.Unlock()
	for _, fn := range fns {
		fn()
	}
	s.unpublish()
}

// whenLost has fn called when the lease is lost.
func (s *session) whenLost(fn func()) (remove func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.onLost == nil {
		go fn()
		return func() {}
	}
	s.n++
	n := s.n
	s.onLost[n] = fn
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.onLost, n)
	}
}

// end takes the process out: others need not wait for the lease to run out.
func (s *session) end(ctx context.Context) {
	s.mu.Lock()
	s.over, s.lost = true, true
	if s.timer != nil {
		s.timer.Stop()
	}
	s.mu.Unlock()
	s.tellLost()
	m, err := s.c.link.last(context.WithoutCancel(ctx), s.c.stream(streamSession), s.subject(s.id))
	if err == nil && m != nil {
		_ = s.c.link.erase(context.WithoutCancel(ctx), s.c.stream(streamSession), m.Seq)
	}
}

// alive reports whether a session is in the store.
func (c *Cluster) alive(ctx context.Context, id string) (bool, error) {
	m, err := c.link.last(ctx, c.stream(streamSession), c.subject("n."+id))
	if err != nil {
		return true, err
	}
	return m != nil && m.header("Nats-Marker-Reason") == "", nil
}

// errLease says that this process has lost its lease.
func errLease(what string) error {
	return fmt.Errorf("%w: %s: this process did not reach the store, or was stopped, for longer than the lease", tristrand.ErrLost, what)
}

func processName() (host string, pid int) {
	host, _ = os.Hostname()
	return host, os.Getpid()
}
