//go:build unix

package cluster_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/cluster"
)

var _ = func() bool { parts["objects"] = objectsPart; return true }()

// objectsPart uses primitives as it is told, "VERB NAME", and says what came of it: URL. They
// are made once, as a program has them.
func objectsPart(ctx context.Context, args []string) error {
	c, err := cluster.Connect(ctx, args[0])
	if err != nil {
		return err
	}
	defer c.Close(ctx)
	l, m, r := cluster.NewLock(c, "l"), cluster.NewLock(c, "m"), cluster.NewRLock(c, "r")
	sem, event := cluster.NewSemaphore(c, "s", 1), cluster.NewEvent(c, "e")
	cond, barrier := cluster.NewCondition(c, "c", l), cluster.NewBarrier(c, "b", 3)
	queue, counter := cluster.NewQueue[string](c, "q", 2), cluster.NewCounter(c, "n")
	verbs := map[string]func() (any, error){
		"lock": func() (any, error) { return "ok", l.Acquire(ctx) }, "unlock": func() (any, error) { return "ok", l.Release(ctx) },
		"lock-m": func() (any, error) { return "ok", m.Acquire(ctx) }, "unlock-m": func() (any, error) { return "ok", m.Release(ctx) },
		"rlock": func() (any, error) { return "ok", r.Acquire(ctx) }, "runlock": func() (any, error) { return "ok", r.Release(ctx) },
		"try-rlock": func() (any, error) { return "ok", r.TryAcquire(ctx) },
		"take":      func() (any, error) { return "ok", sem.Acquire(ctx) }, "give": func() (any, error) { return "ok", sem.Release(ctx, 1) },
		"await": func() (any, error) { return "ok", event.Wait(ctx) }, "set": func() (any, error) { return "ok", event.Set(ctx) },
		"wait": func() (any, error) { return "ok", cond.Wait(ctx) }, "notify": func() (any, error) { return "ok", cond.Notify(ctx, 1) },
		"meet": func() (any, error) { turn, err := barrier.Wait(ctx); return turn, err },
		"get":  func() (any, error) { return queue.Get(ctx) }, "put": func() (any, error) { return "ok", queue.Put(ctx, fmt.Sprint(os.Getpid())) },
		"add": func() (any, error) { n, err := counter.Add(ctx, 1); return n, err },
	}
	fmt.Println("ready")
	for s := bufio.NewScanner(os.Stdin); s.Scan(); {
		v, err := verbs[s.Text()]()
		deadlock, isDeadlock := errors.AsType[*tristrand.DeadlockError](err)
		switch {
		case isDeadlock:
			fmt.Println("deadlock of", len(deadlock.Cycle))
		case errors.Is(err, tristrand.ErrLost):
			fmt.Println("lost")
		case errors.Is(err, tristrand.ErrBusy):
			fmt.Println("busy")
		case err != nil:
			fmt.Println(err)
		default:
			fmt.Println(v)
		}
	}
	return nil
}

// programs starts so many of them.
func programs(t *testing.T, n int) (*cluster.Cluster, []*child) {
	t.Helper()
	c := open(t, cluster.Options{Durability: cluster.Memory, Listen: "127.0.0.1:0", Lease: 2 * time.Second})
	var all []*child
	for range n {
		all = append(all, spawn(t, "objects", c.URL()))
	}
	for _, p := range all {
		p.expect("ready")
	}
	return c, all
}

// do has a program do things that do not wait for others.
func (c *child) do(want string, verbs ...string) {
	c.t.Helper()
	for _, v := range verbs {
		c.say("%s", v)
		c.expect(want)
	}
}

// Strands of different processes that wait for each other in a circle are told so: one of
// them, the last to come as far as the servers' time is known, and the others go on.
func TestDeadlockAcrossProcesses(t *testing.T) {
	t.Parallel()
	ctx := adopt(t)
	c, ps := programs(t, 2)
	a, b := ps[0], ps[1]
	m := cluster.NewLock(c, "m")
	a.do("ok", "lock")
	b.do("ok", "lock-m")
	a.say("lock-m")
	until(t, "a wait", func() bool { st, err := m.State(ctx); return err == nil && st.Waiting == 1 })
	b.say("lock")
	select {
	case line := <-b.lines:
		if line != "deadlock of 2" {
			t.Fatalf("b said %q", line)
		}
		b.do("ok", "unlock-m")
		a.expect("ok")
		a.do("ok", "unlock-m", "unlock")
	case line := <-a.lines: // the clocks differ by more than there was between the waits
		if line != "deadlock of 2" {
			t.Fatalf("a said %q", line)
		}
		a.do("ok", "unlock")
		b.expect("ok")
		b.do("ok", "unlock", "unlock-m")
	case <-time.After(patience):
		t.Fatalf("nobody is told; on stderr: %s%s", a.err, b.err)
	}
	b.do("ok", "lock", "unlock")
	// What is no circle is none.
	a.do("ok", "lock")
	b.say("lock")
	l := cluster.NewLock(c, "l")
	until(t, "a wait", func() bool { st, err := l.State(ctx); return err == nil && st.Waiting == 1 })
	time.Sleep(600 * time.Millisecond) // some looks at who waits for whom
	a.do("ok", "unlock")
	b.expect("ok")
	b.do("ok", "unlock")
}

// The primitives do between processes what the suites check within one.
func TestPrimitivesBetweenProcesses(t *testing.T) {
	t.Parallel()
	ctx := adopt(t)
	c, ps := programs(t, 3)
	x, y, z := ps[0], ps[1], ps[2]
	waiting := func(what string, n int, get func() (int, error)) {
		t.Helper()
		until(t, what, func() bool { got, err := get(); return err == nil && got == n })
	}
	t.Run("Lock", func(t *testing.T) {
		l := cluster.NewLock(c, "l")
		x.do("ok", "lock")
		for i, p := range []*child{y, z} {
			p.say("lock")
			waiting("a waiter", i+1, func() (int, error) { st, err := l.State(ctx); return st.Waiting, err })
		}
		x.do("ok", "unlock")
		y.expect("ok") // first come, first served
		if st, err := l.State(ctx); err != nil || st.Holder == nil || st.Holder.PID != y.Process.Pid || st.Waiting != 1 {
			t.Errorf("the lock is %+v, %v, want it held by process %d", st, err, y.Process.Pid)
		}
		y.do("ok", "unlock")
		z.expect("ok")
		z.do("ok", "unlock")
	})
	t.Run("RLock", func(t *testing.T) {
		x.do("ok", "rlock", "rlock")
		y.do("busy", "try-rlock")
		x.do("ok", "runlock")
		y.do("busy", "try-rlock")
		x.do("ok", "runlock")
		y.do("ok", "try-rlock", "runlock")
	})
	t.Run("Semaphore", func(t *testing.T) {
		s := cluster.NewSemaphore(c, "s", 1)
		x.do("ok", "take")
		y.say("take")
		waiting("a waiter", 1, func() (int, error) { st, err := s.State(ctx); return st.Waiting, err })
		z.do("ok", "give") // whoever
		y.expect("ok")
		y.do("ok", "give")
	})
	t.Run("Event", func(t *testing.T) {
		e := cluster.NewEvent(c, "e")
		x.say("await")
		y.say("await")
		waiting("two waiters", 2, func() (int, error) { st, err := e.State(ctx); return st.Waiting, err })
		z.do("ok", "set")
		x.expect("ok")
		y.expect("ok")
		z.do("ok", "await")
	})
	t.Run("Condition", func(t *testing.T) {
		k := cluster.NewCondition(c, "c", cluster.NewLock(c, "l"))
		for i, p := range []*child{x, y} {
			p.do("ok", "lock")
			p.say("wait")
			waiting("a waiter", i+1, func() (int, error) { st, err := k.State(ctx); return st.Waiting, err })
		}
		for _, p := range []*child{x, y} {
			z.do("ok", "lock", "notify", "unlock")
			p.expect("ok")
			p.do("ok", "unlock")
		}
	})
	t.Run("Barrier", func(t *testing.T) {
		for range 2 {
			for _, p := range ps {
				p.say("meet")
			}
			turns := x.hear() + y.hear() + z.hear()
			for _, turn := range []string{"0", "1", "2"} {
				if strings.Count(turns, turn) != 1 {
					t.Errorf("the turns are %q, want each once", turns)
				}
			}
		}
	})
	t.Run("Queue", func(t *testing.T) {
		x.do("ok", "put")
		y.do("ok", "put")
		z.say("put") // it is full
		x.do(fmt.Sprint(x.Process.Pid), "get")
		z.expect("ok")
		x.do(fmt.Sprint(y.Process.Pid), "get")
		x.do(fmt.Sprint(z.Process.Pid), "get")
		y.say("get")
		z.do("ok", "put")
		y.expect(fmt.Sprint(z.Process.Pid))
	})
	t.Run("Counter", func(t *testing.T) {
		for i, p := range ps {
			p.do(fmt.Sprint(i+1), "add")
		}
	})
	t.Run("a semaphore's holder is stopped", func(t *testing.T) {
		x.do("ok", "take")
		y.say("take")
		x.signal(syscall.SIGSTOP)
		y.expect("ok")
		x.signal(syscall.SIGCONT)
		x.do("lost", "give") // it is back already
		if st, err := cluster.NewSemaphore(c, "s", 1).State(ctx); err != nil || st.Free != 0 {
			t.Errorf("the semaphore, which one holds, is %+v, %v", st, err)
		}
		y.do("ok", "give")
	})
	t.Run("a semaphore's holder dies", func(t *testing.T) {
		x.do("ok", "take")
		y.say("take")
		x.kill()
		y.expect("ok")
	})
}
