package cluster_test

import (
	"encoding/json"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"golang.org/x/sys/unix"

	"github.com/tristrand/tristrand/cluster"
)

// What processes do with a lock, a value and a queue while clients are killed and stopped
// can be explained, as if each call were done at one moment.
func TestHistoryOfKilledClients(t *testing.T) {
	t.Parallel()
	c := open(t, cluster.Options{Durability: cluster.Memory, Listen: "127.0.0.1:0", Lease: time.Second})
	h := startHistory(t, 3, c.URL())
	rounds := 3
	if soaking() {
		rounds = 30
	}
	for i := range rounds {
		time.Sleep(700 * time.Millisecond)
		h.clients[i].kill()
		h.clients = append(h.clients, spawn(t, "history", c.URL()))
		stopped := h.clients[i+1]
		stopped.signal(unix.SIGSTOP)
		time.Sleep(1500 * time.Millisecond)
		stopped.signal(unix.SIGCONT)
	}
	time.Sleep(300 * time.Millisecond)
	deeds := h.stop(t)
	h.check(t, deeds)
	h.guarded(t, deeds)
}

// The same while the only server is killed and started again.
func TestHistoryOfKilledServer(t *testing.T) {
	t.Parallel()
	dir, addr := t.TempDir(), freeAddr(t)
	server, url := startServer(t, dir, addr, "process")
	h := startHistory(t, 3, url)
	rounds := 3
	if soaking() {
		rounds = 30
	}
	for range rounds {
		time.Sleep(700 * time.Millisecond)
		server.kill()
		server, _ = startServer(t, dir, addr, "process")
	}
	time.Sleep(700 * time.Millisecond)
	deeds := h.stop(t)
	h.check(t, deeds)
	h.guarded(t, deeds)
}

// leads returns which of the servers leads the store of the locks and values, -1 for none.
func (p *trio) leads(nc *nats.Conn) int {
	var info struct {
		Cluster struct {
			Leader   string `json:"leader"`
			Replicas []struct {
				Current bool `json:"current"`
			} `json:"replicas"`
		} `json:"cluster"`
	}
	m, err := nc.Request("$JS.API.STREAM.INFO.TRI_default_SYNC", nil, time.Second)
	if err != nil || json.Unmarshal(m.Data, &info) != nil {
		return -1
	}
	for _, r := range info.Cluster.Replicas {
		if !r.Current {
			return -1
		}
	}
	return slices.IndexFunc(p.routes, func(r string) bool {
		return strings.NewReplacer(":", "-", ".", "-").Replace(r) == info.Cluster.Leader
	})
}

// What processes do with a lock, a value and a queue of three peers, and with jobs, while a
// follower and a leader are killed, and a leader is stopped for a while.
func TestHistoryOfPeers(t *testing.T) {
	t.Parallel()
	ctx := adopt(t)
	peers := startPeers(t)
	urls := strings.Join(peers.urls, ",")
	w := spawn(t, "serve", urls, "4")
	w.expect("ready")
	c := peers.open()
	nc, err := nats.Connect(urls, nats.MaxReconnects(-1), nats.ReconnectWait(50*time.Millisecond), nats.PingInterval(time.Second))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	p := c.Pool()
	if _, err := taskNote.Call(ctx, p, noteIn{filepath.Join(t.TempDir(), "log"), 0, 0}); err != nil {
		t.Fatal(err)
	}
	until(t, "the spread of the leaders", func() bool { return leaders(c) == 3 })
	h := startHistory(t, 3, urls)
	jobs := submitAll(p, filepath.Join(t.TempDir(), "log"))
	turns := cluster.NewValue[int](c, "guarded") // is written by each who has the lock
	whole := func() (leader int) {
		until(t, "a leader, and two that follow it", func() bool { leader = peers.leads(nc); return leader >= 0 })
		last, err := turns.Load(ctx)
		until(t, "a turn with the lock", func() bool { // so that each fault is felt alone
			now, err2 := turns.Load(ctx)
			return err == nil && err2 == nil && now != last
		})
		return leader
	}
	rounds := 1
	if soaking() {
		rounds = 10
	}
	for range rounds {
		leader := whole()
		peers.servers[(leader+1)%3].kill()
		time.Sleep(time.Second)
		peers.start((leader + 1) % 3)
		t.Logf("a follower killed: the longest Submit took %v", jobs.longest())
		leader = whole()
		peers.servers[leader].kill()
		time.Sleep(time.Second)
		peers.start(leader)
		leader = whole()
		t.Logf("a leader killed: the longest Submit took %v", jobs.longest())
		peers.servers[leader].signal(unix.SIGSTOP)
		time.Sleep(3 * time.Second)
		peers.servers[leader].signal(unix.SIGCONT)
		whole()
		time.Sleep(500 * time.Millisecond)
		t.Logf("a leader stopped: the longest Submit took %v", jobs.longest())
	}
	deeds := h.stop(t)
	h.check(t, deeds)
	h.guarded(t, deeds)
	for _, object := range []string{"lock", "value"} {
		gap := gapIn(object, deeds)
		t.Logf("the longest gap in the %s: %v", object, gap)
		if gap > 2*promisedGap {
			t.Errorf("nothing could be done with the %s for %v", object, gap)
		}
	}
	jobs.check(ctx, t)
	t.Logf("%d jobs", len(jobs.fs))
}

// promisedGap is after how long locks and values go on when a peer is lost, on a machine
// that has time for it.
const promisedGap = 10 * time.Second

// gapIn returns the longest time in which no call on an object was done.
func gapIn(object string, deeds []deed) (gap time.Duration) {
	var ends []int64
	for _, d := range deeds {
		if d.Object == object && d.OK {
			ends = append(ends, d.end)
		}
	}
	slices.Sort(ends)
	for i := 1; i < len(ends); i++ {
		gap = max(gap, time.Duration(ends[i]-ends[i-1]))
	}
	return gap
}
