package cluster

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"
)

// Between two looks at where the leaders of the shards are.
const (
	spreadSoon = 100 * time.Millisecond
	spreadRest = 3 * time.Second
)

// keepSpread sees to it, until the cluster is closed, that the shards' leaders are on
// different servers, and those of the locks and of the sessions: an election takes seconds, and then there is a shard without one.
func (c *Cluster) keepSpread() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.spreading {
		return
	}
	c.spreading = true
	var again func()
	again = func() {
		if c.isClosing() {
			return
		}
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		next := spreadRest + rand.N(spreadRest) // so that not all do it at once
		var err error
		for _, kinds := range [][]string{c.taskStreams(), {streamSync, streamSession}} { // a lock needs both of these
			c.mu.Lock()
			there := c.there[kinds[0]] && c.there[kinds[len(kinds)-1]]
			c.mu.Unlock()
			if there {
				err = errors.Join(err, c.spread(ctx, kinds))
			}
		}
		if err != nil {
			next = spreadSoon + rand.N(spreadSoon)
		}
		time.AfterFunc(next, again)
	}
	go again()
}
