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
