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
	at     time.Time     // when they said so, with its monotonic reading
	wrong  time.Duration // by so much at the most, either way: half of how long it took
	stop   func() bool
	over   bool
}

const (
	clockEvery    = 30 * time.Second
	clockPatience = 2 * time.Second
	clockKeep     = 10 * time.Minute // a better answer counts for so long
)

// A tick is the server's answer.
type tick struct {
	TS time.Time `json:"ts"`
}

// start asks for the time, now and from time to time. It waits for the first answer,
// and not long.
func (k *clock) start(ctx context.Context, c *Cluster) {
	var now tick
	asked := time.Now()
	if c.link.ask(ctx, "the server's time", "STREAM.INFO."+c.stream(streamResults), nil, &now, clockPatience) == nil {
		k.heard(now.TS, asked)
	}
	k.again(c)
}

func (k *clock) again(c *Cluster) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.over {
		return
	}
	next := clockEvery
	if k.at.IsZero() {
		next = clockPatience
	}
	k.stop = time.AfterFunc(next, func() {
		asked := time.Now()
		c.link.send("$JS.API.STREAM.INFO."+c.stream(streamResults), nil, nil, time.Second, func(m *nats.Msg, err error) {
			var now tick
			if err == nil && json.Unmarshal(m.Data, &now) == nil {
				k.heard(now.TS, asked)
			}
		})
		k.again(c)
	}).Stop
}

// heard takes an answer to what was asked at a time, unless there is a better one.
func (k *clock) heard(theirs, asked time.Time) {
	now := time.Now()
	wrong := now.Sub(asked) / 2
	k.mu.Lock()
	defer k.mu.Unlock()
	if !theirs.IsZero() && (k.at.IsZero() || wrong <= k.wrong || now.Sub(k.at) > clockKeep) {
		k.theirs, k.at, k.wrong = theirs.Add(wrong), now, wrong
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

// latest is now, and not before the time of any server.
func (k *clock) latest() time.Time {
	now := k.now()
	k.mu.Lock()
	defer k.mu.Unlock()
	return now.Add(k.wrong)
}

// clockJump is how wrong this machine's clock is, for tests whose clock jumps.
var clockJump atomic.Int64

// wallClock returns the time of this machine.
func wallClock() time.Time { return time.Now().Add(time.Duration(clockJump.Load())) }

// ServerTime returns the time of the cluster's servers, whatever this machine's clock
// says: what At and the ages of jobs are measured by. It does not block.
func (c *Cluster) ServerTime(context.Context) time.Time { return c.clock.now() }
