package cluster

import (
	"context"
	"encoding/json"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
)

// A clock tells the time of the servers. The wall clocks of machines differ and jump, so
// nothing is decided by them: it is the server's time once asked, and the monotonic time
// since.
type clock struct {
	mu     sync.Mutex
	theirs time.Time
	at     time.Time // when they said so, with its monotonic reading
	stop   func() bool
	over   bool
}

const clockEvery = 30 * time.Second

// start asks for the time, from time to time.
func (k *clock) start(c *Cluster) {
	asked := time.Now()
	c.link.send("$JS.API.STREAM.INFO."+c.stream(streamResults), nil, nil, time.Second, func(m *nats.Msg, err error) {
		var info struct {
			TS time.Time `json:"ts"`
		}
		if err == nil && json.Unmarshal(m.Data, &info) == nil && !info.TS.IsZero() {
			now := time.Now()
			k.mu.Lock()
			k.theirs, k.at = info.TS.Add(now.Sub(asked)/2), now
			k.mu.Unlock()
		}
	})
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.over {
		k.stop = time.AfterFunc(clockEvery, func() { k.start(c) }).Stop
	}
}

func (k *clock) end() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.over = true
	if k.stop != nil {
		k.stop()
	}
}

// now returns the time of the servers; this machine's while they have not said.
func (k *clock) now() time.Time {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.at.IsZero() {
		return wallClock()
	}
	return k.theirs.Add(time.Since(k.at))
}

// clockJump is how wrong this machine's clock is, for tests whose clock jumps.
var clockJump atomic.Int64

// wallClock returns the time of this machine.
func wallClock() time.Time { return time.Now().Add(time.Duration(clockJump.Load())) }

// ServerTime returns the time of the cluster's servers, whatever this machine's clock
// says: what At and the ages of jobs are measured by. It does not block.
func (c *Cluster) ServerTime(context.Context) time.Time { return c.clock.now() }
