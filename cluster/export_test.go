package cluster

import "time"

// JumpClock makes this process's wall clock jump.
func JumpClock(d time.Duration) { clockJump.Store(int64(d)) }

// Narrow makes the server's messages to a pool be dropped when more than n wait.
func Narrow(p *Pool, n int) error { return p.sub.SetPendingLimits(n, -1) }

// Hold keeps a pool from taking messages until release is called.
func Hold(p *Pool) (release func()) {
	p.box.mu.Lock()
	return p.box.mu.Unlock
}

// Kill ends a cluster's connection as the end of its process would.
func Kill(c *Cluster) { c.link.nc.Close() }

// What a pool says of a job.
const (
	SaysRun   = doRun
	SaysLeave = doLeave
)

// Tell has a pool hear something of its only job from a worker, and returns what it says.
func Tell(p *Pool, what, worker string) int {
	p.mu.Lock()
	var it *item
	for _, it = range p.items {
	}
	p.mu.Unlock()
	n := &note{Worker: worker, Fault: faults.Of(ErrUnfit)}
	switch what {
	case "back":
		return p.takeBack(it, n).Do
	case "failed":
		return p.failed(it, n).Do
	default:
		return p.mayBegin(it, n, "T/1").Do
	}
}

// Deafen lets no answer come to a cluster's connection until hear is called.
func Deafen(c *Cluster) (hear func() error, err error) {
	if err := c.link.sub.Unsubscribe(); err != nil {
		return nil, err
	}
	return func() (err error) {
		c.link.sub, err = c.link.nc.Subscribe(c.link.inbox+"*", c.link.answered)
		return err
	}, c.link.nc.Flush()
}
