//go:build unix

package cluster_test

import (
	"context"
	"errors"
	"fmt"
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

// peers starts three servers that are one cluster, and returns them and their URLs.
func startPeers(t *testing.T) (servers []*child, urls []string) {
	t.Helper()
	var routes []string
	for range 3 {
		routes = append(routes, freeAddr(t))
	}
	for _, self := range routes {
		args := append([]string{t.TempDir(), freeAddr(t), "process", self}, routes...)
		servers = append(servers, spawn(t, "server", args...))
	}
	for _, s := range servers {
		urls = append(urls, s.hear())
	}
	return servers, urls
}

// With three peers jobs go on when any one is killed: no acknowledged job is lost, and a
// Submit waits no longer than for another shard.
func TestPeersLoseNoJob(t *testing.T) {
	ctx := adopt(t)
	servers, urls := startPeers(t)
	w := spawn(t, "serve", strings.Join(urls, ","), "4")
	w.expect("ready")
	c, err := cluster.Open(ctx, cluster.Options{URLs: urls, Durability: cluster.Process})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close(context.Background()) })
	if i := c.Info(); i.Replicas != 3 || i.Shards != 3 {
		t.Fatalf("the cluster is %+v, want three copies and shards", i)
	}
	p := c.Pool()
	log := filepath.Join(t.TempDir(), "log")
	if _, err := taskNote.Call(ctx, p, noteIn{log, 0, 0}); err != nil {
		t.Fatal(err)
	}
	until(t, "the spread of the leaders", func() bool { return leaders(t, c) == 3 })
	var mu sync.Mutex
	var fs []*tristrand.Future[int]
	var gap time.Duration
	stop := make(chan struct{})
	done := make(chan struct{})
	strand.Go(context.Background(), strand.Options{Kind: strand.Thread, Name: "submitter"}, func(ctx context.Context) {
		defer close(done)
		for n := 1; ; n++ {
			select {
			case <-stop:
				return
			case <-time.After(2 * time.Millisecond):
			}
			began := time.Now()
			f := taskNote.Submit(ctx, p, noteIn{log, n, 0})
			mu.Lock()
			gap = max(gap, time.Since(began))
			fs = append(fs, f)
			mu.Unlock()
		}
	})
	time.Sleep(300 * time.Millisecond)
	servers[rand.IntN(3)].kill()
	time.Sleep(2 * time.Second)
	close(stop)
	<-done
	for i, f := range fs {
		if v, err := f.Result(ctx); v != 2*(i+1) || err != nil {
			t.Errorf("job %d gives %d, %v", i+1, v, err)
		}
	}
	t.Logf("%d jobs; the longest Submit took %v", len(fs), gap)
	if gap > 5*time.Second {
		t.Errorf("a Submit took %v", gap)
	}
	l := cluster.NewLock(c, "l")
	if err := errors.Join(l.Acquire(ctx), l.Release(ctx)); err != nil {
		t.Errorf("the lock after the loss of a peer: %v", err)
	}
}

// leaders returns how many servers lead shards.
func leaders(t *testing.T, c *cluster.Cluster) int {
	t.Helper()
	all, err := c.Leaders(context.Background())
	if err != nil {
		return 0
	}
	seen := map[string]bool{}
	for _, name := range all {
		seen[name] = true
	}
	if soaking() {
		fmt.Println(all)
	}
	return len(seen)
}
