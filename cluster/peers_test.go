//go:build unix

package cluster_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/cluster"
	"github.com/tristrand/tristrand/strand"
)

// soaking says that there is time for more rounds.
func soaking() bool { return os.Getenv("TRISTRAND_SOAK") != "" }

// A trio is three servers that are one cluster.
type trio struct {
	t       *testing.T
	routes  []string
	args    [][]string
	servers []*child
	urls    []string
}

// startPeers starts them.
func startPeers(t *testing.T) *trio {
	t.Helper()
	p := &trio{t: t}
	for range 3 {
		p.routes = append(p.routes, freeAddr(t))
	}
	for _, self := range p.routes {
		args := append([]string{t.TempDir(), freeAddr(t), "process", self}, p.routes...)
		p.args = append(p.args, args)
		p.servers = append(p.servers, spawn(t, "server", args...))
	}
	for _, s := range p.servers {
		p.urls = append(p.urls, s.hear())
	}
	return p
}

// start starts one again that was killed.
func (p *trio) start(i int) {
	p.t.Helper()
	p.servers[i] = spawn(p.t, "server", p.args[i]...)
	p.servers[i].hear()
}

// open returns a connection to them.
func (p *trio) open() *cluster.Cluster {
	p.t.Helper()
	return open(p.t, cluster.Options{URLs: p.urls, Durability: cluster.Process})
}

// A stream of jobs that are submitted one after another.
type stream struct {
	mu   sync.Mutex
	fs   []*tristrand.Future[int]
	gap  time.Duration // of the longest Submit
	stop chan struct{}
	done chan struct{}
}

func submitAll(p *cluster.Pool, log string) *stream {
	s := &stream{stop: make(chan struct{}), done: make(chan struct{})}
	strand.Go(context.Background(), strand.Options{Kind: strand.Thread, Name: "submitter"}, func(ctx context.Context) {
		defer close(s.done)
		for n := 0; ; n++ {
			select {
			case <-s.stop:
				return
			case <-time.After(2 * time.Millisecond):
			}
			began := time.Now()
			f := taskNote.Submit(ctx, p, noteIn{log, n, 0})
			s.mu.Lock()
			s.gap = max(s.gap, time.Since(began))
			s.fs = append(s.fs, f)
			s.mu.Unlock()
		}
	})
	return s
}

// longest returns the longest Submit since it was asked last.
func (s *stream) longest() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	gap := s.gap
	s.gap = 0
	return gap
}

// check stops it, and sees that every job has its result.
func (s *stream) check(ctx context.Context, t *testing.T) {
	t.Helper()
	close(s.stop)
	<-s.done
	for n, f := range s.fs {
		if v, err := f.Result(ctx); v != 2*n || err != nil {
			t.Errorf("job %d gives %d, %v", n, v, err)
		}
	}
}

// With three peers jobs go on when any one is killed: no acknowledged job is lost, and a
// Submit waits no longer than for another shard.
func TestPeersLoseNoJob(t *testing.T) {
	t.Parallel()
	ctx := adopt(t)
	peers := startPeers(t)
	w := spawn(t, "serve", strings.Join(peers.urls, ","), "4")
	w.expect("ready")
	c := peers.open()
	if i := c.Info(); i.Replicas != 3 || i.Shards != 3 {
		t.Fatalf("the cluster is %+v, want three copies and shards", i)
	}
	p := c.Pool()
	log := filepath.Join(t.TempDir(), "log")
	if _, err := taskNote.Call(ctx, p, noteIn{log, 0, 0}); err != nil {
		t.Fatal(err)
	}
	until(t, "the spread of the leaders", func() bool { return leaders(c) == 3 })
	jobs := submitAll(p, log)
	time.Sleep(300 * time.Millisecond)
	jobs.longest()
	peers.servers[rand.IntN(3)].kill()
	time.Sleep(2 * time.Second)
	jobs.check(ctx, t)
	gap := jobs.longest()
	t.Logf("%d jobs; the longest Submit took %v", len(jobs.fs), gap)
	if gap > 5*time.Second {
		t.Errorf("a Submit took %v", gap)
	}
	l := cluster.NewLock(c, "l")
	var err error
	for err = l.Acquire(ctx); errors.Is(err, tristrand.ErrLost); err = l.Acquire(ctx) { // while there is no leader, the lease of a second runs out
		time.Sleep(10 * time.Millisecond)
	}
	if err := errors.Join(err, l.Release(ctx)); err != nil && !errors.Is(err, tristrand.ErrLost) {
		t.Errorf("the lock after the loss of a peer: %v", err)
	}
}

// leaders returns how many servers lead shards.
func leaders(c *cluster.Cluster) int {
	all, err := c.Leaders(context.Background())
	if err != nil {
		return 0
	}
	seen := map[string]bool{}
	for _, name := range all {
		seen[name] = true
	}
	return len(seen)
}
