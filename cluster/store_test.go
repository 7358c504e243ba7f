//go:build unix

package cluster_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tristrand/tristrand/cluster"
)

var _ = func() bool {
	parts["before-init"] = beforeInitPart
	parts["jumping"] = jumpingPart
	return true
}()

// A store that was left half-made, because its server was killed while it made it, can be
// used.
func TestHalfMadeStore(t *testing.T) {
	t.Parallel()
	ctx := adopt(t)
	dir, addr := t.TempDir(), freeAddr(t)
	rounds := 8
	if soaking() {
		rounds = 200
	}
	for range rounds {
		s := spawn(t, "server", dir, addr, "process")
		time.Sleep(rand.N(60 * time.Millisecond)) // it starts, makes its files, or is ready
		s.kill()
	}
	_, url := startServer(t, dir, addr, "process")
	c := connect(t, url)
	w := spawn(t, "serve", url, "2")
	w.expect("ready")
	log := filepath.Join(t.TempDir(), "log")
	if v, err := taskNote.Submit(ctx, c.Pool(), noteIn{log, 21, 0}).Result(ctx); v != 42 || err != nil {
		t.Errorf("a job gives %d, %v", v, err)
	}
	l := cluster.NewLock(c, "l")
	v := cluster.NewValue[int](c, "v")
	if err := errors.Join(l.Acquire(ctx), v.StoreGuarded(ctx, l, 1), l.Release(ctx)); err != nil {
		t.Errorf("a lock and a value: %v", err)
	}
}

// beforeInitPart is what a worker process does of a program that opens its store before
// process.Init: DIR.
func beforeInitPart(ctx context.Context, args []string) error {
	c, err := cluster.Open(ctx, cluster.Options{Dir: args[0]})
	if err != nil {
		return err
	}
	return c.Close(ctx)
}

// A program that opens its store before process.Init is told so, and by which process it is
// in use.
func TestStoreOpenedBeforeInit(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := spawn(t, "server", dir, "127.0.0.1:0", "process")
	s.hear()
	// Another process is refused, and one that the owner has started, as a worker would be,
	// is told what to do.
	ctx := adopt(t)
	_, err := cluster.Open(ctx, cluster.Options{Dir: dir})
	if err == nil || !strings.Contains(err.Error(), fmt.Sprint("process ", s.Process.Pid)) {
		t.Errorf("Open of a store that process %d has: %v", s.Process.Pid, err)
	}
	mine := t.TempDir()
	open(t, cluster.Options{Dir: mine})
	worker := spawn(t, "before-init", mine)
	if err := worker.wait(); err == nil {
		t.Error("a worker opens the store of its parent")
	}
	if said := worker.err.String(); !strings.Contains(said, "process.Init before cluster.Open") {
		t.Errorf("the worker said %q, want it to name process.Init", said)
	}
}

// jumpingPart is a submitter, whose job is to run half a second later and has a deadline, and
// then a worker, whose wall clock is wrong, and jumps: URL JUMP LOG.
func jumpingPart(ctx context.Context, args []string) error {
	jump, err := time.ParseDuration(args[1])
	if err != nil {
		return err
	}
	cluster.JumpClock(jump)
	go func() {
		for now := -jump; ; now = -now {
			time.Sleep(50 * time.Millisecond)
			cluster.JumpClock(now)
		}
	}()
	c, err := cluster.Connect(ctx, args[0])
	if err != nil {
		return err
	}
	began := time.Now()
	limited, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	v, err := taskNote.Submit(limited, c.Pool(), noteIn{args[2], 100, 0}, cluster.After(500*time.Millisecond)).Result(ctx)
	fmt.Println(v, err, time.Since(began) > 450*time.Millisecond)
	if err := c.Close(ctx); err != nil {
		return err
	}
	return servePart(ctx, []string{args[0], "4"})
}

// The wall clocks of a submitter and of a worker, and their jumps, change nothing: deadlines,
// delays and leases are by the servers' time.
func TestClockJumps(t *testing.T) {
	t.Parallel()
	for _, jump := range []string{"1h", "-1h"} {
		t.Run(jump, func(t *testing.T) {
			t.Parallel()
			ctx := adopt(t)
			c := open(t, cluster.Options{Durability: cluster.Memory, Listen: "127.0.0.1:0", Lease: time.Second})
			p := c.Pool()
			log := filepath.Join(t.TempDir(), "log")
			first := spawn(t, "serve", c.URL(), "2")
			first.expect("ready")
			w := spawn(t, "jumping", c.URL(), jump, log)
			w.expect("200 <nil> true")
			w.expect("ready")
			first.signal(syscall.SIGTERM)
			began := time.Now()
			later := taskNote.Submit(ctx, p, noteIn{log, 1, 0}, cluster.After(500*time.Millisecond))
			long := taskNote.Submit(ctx, p, noteIn{log, 2, 2500 * time.Millisecond}) // longer than a lease
			limited, cancel := context.WithTimeout(ctx, patience)
			defer cancel()
			for n := range 20 {
				if v, err := taskNote.Submit(limited, p, noteIn{log, n, 10 * time.Millisecond}).Result(ctx); v != 2*n || err != nil {
					t.Errorf("a job with a deadline gives %d, %v", v, err)
				}
			}
			if v, err := later.Result(ctx); v != 2 || err != nil || time.Since(began) < 450*time.Millisecond {
				t.Errorf("a job for later gives %d, %v after %v", v, err, time.Since(began))
			}
			if v, err := long.Result(ctx); v != 4 || err != nil {
				t.Errorf("a long job gives %d, %v", v, err)
			}
			if runs := runsIn(t, log); len(runs) != 23 {
				t.Errorf("23 jobs ran %d times", len(runs))
			}
		})
	}
}
