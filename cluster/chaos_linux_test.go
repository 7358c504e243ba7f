package cluster_test

import (
	"testing"
	"time"

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
