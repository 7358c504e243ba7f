package manager_test

import (
	"context"
	"fmt"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/internal/mpwire"
	"github.com/tristrand/tristrand/internal/pickle"
	"github.com/tristrand/tristrand/manager"
)

// send sends a call and does not wait for its answer.
func (c *rawClient) send(ident any, method string, args ...any) {
	c.t.Helper()
	ok(c.t, mpwire.WriteFrame(c, pickled(c.t, pickle.Tuple{ident, method, pickle.Tuple(args), new(pickle.Dict)})))
}

// TestWaitsWithoutAGoroutine: those who wait for a lock are answered by who gives
// it up, in the order in which they came, and what they sent meanwhile after it. Who
// hangs up or has waited long enough is passed over.
func TestWaitsWithoutAGoroutine(t *testing.T) {
	for _, typeid := range []string{"Lock", "RLock"} {
		for _, address := range []string{"127.0.0.1:0", filepath.Join(t.TempDir(), "s")} {
			at := serve(t, &manager.Server{AuthKey: testKey}, address)
			c := dial(t, at.String())
			lock := manager.LockOf(must[*manager.Proxy](t)(c.Create(t.Context(), typeid)))
			id := lock.Proxy().ID()
			waiting := func() int { return must[tristrand.LockState](t)(lock.State(t.Context())).Waiting }
			session := func(name string) *rawClient {
				s := rawDial(t, at)
				s.session(name)
				return s
			}
			holder := session("holder")
			if kind, v := holder.call(id, "acquire"); kind != "#RETURN" || v != true {
				t.Fatal(kind, v)
			}
			var queue []*rawClient
			for i := range 9 {
				s := session(fmt.Sprint("waiter ", i))
				queue = append(queue, s)
				switch i {
				case 4: // it waits for a while
					s.send(id, "acquire", true, 0.05)
					if kind, v := s.answer(); kind != "#RETURN" || v != false {
						t.Errorf("%s: a wait of 50 ms ended with %s %v", typeid, kind, v)
					}
					continue
				default:
					s.send(id, "acquire")
					s.send(id, "__str__") // out of turn: it is answered in its turn
				}
				want := i + 1
				if i > 4 {
					want = i
				}
				until(t, "it waits", func() bool { return waiting() == want })
			}
			entries := must[[]manager.Entry](t)(c.Inspect(t.Context()))
			for _, e := range entries {
				if e.ID == id && (len(e.Waiters) != 8 || e.Waiters[0] != "waiter 0" || e.Holder == "") {
					t.Errorf("%s: it is held by %q, and %q wait", typeid, e.Holder, e.Waiters)
				}
			}
			ok(t, queue[2].Close())
			ok(t, queue[3].Close())
			until(t, "those who are gone are not waited for", func() bool { return waiting() == 6 })
			if kind, v := holder.call(id, "release"); kind != "#RETURN" {
				t.Fatal(kind, v)
			}
			for _, i := range []int{0, 1, 5, 6, 7, 8} {
				s := queue[i]
				if kind, v := s.answer(); kind != "#RETURN" || v != true {
					t.Fatalf("%s: waiter %d is answered with %s %v", typeid, i, kind, v)
				}
				if kind, v := s.answer(); kind != "#RETURN" {
					t.Fatalf("%s: what waiter %d asked meanwhile: %s %v", typeid, i, kind, v)
				}
				if i == 6 {
					ok(t, s.Close()) // it dies with the lock
					continue
				}
				if kind, v := s.call(id, "release"); kind != "#RETURN" {
					t.Fatalf("%s: waiter %d releases: %s %v", typeid, i, kind, v)
				}
			}
			ok(t, lock.Acquire(t.Context()))
			ok(t, lock.Release(t.Context()))
		}
	}
}

// TestLockAmongDyingClients: Go and Python clients take one lock, and are killed
// while they wait and while they hold it. It is never held twice, nobody is left
// waiting, and in the end it is free.
func TestLockAmongDyingClients(t *testing.T) {
	at := serve(t, &manager.Server{AuthKey: testKey}, filepath.Join(t.TempDir(), "s"))
	c := dial(t, at.String())
	lock := must[*manager.Lock](t)(manager.NewLock(t.Context(), c))
	id := lock.Proxy().ID()
	var inside atomic.Int32
	enter := func(who string) {
		if n := inside.Add(1); n != 1 {
			t.Errorf("%s holds the lock with %d others", who, n-1)
		}
		inside.Add(-1)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	rounds := 60
	if testing.Short() {
		rounds = 10
	}
	var g tristrand.Group
	for k := range 6 {
		g.Go(ctx, func(ctx context.Context) error {
			for i := range rounds {
				own, err := manager.Dial(ctx, at.String(), manager.DialOptions{AuthKey: testKey})
				if err != nil {
					return err
				}
				p, err := own.Attach(ctx, "Lock", id)
				if err != nil {
					return err
				}
				l := manager.LockOf(p)
				short, stop := context.WithTimeout(ctx, time.Duration(i%7)*time.Millisecond+time.Microsecond)
				err = l.Recover(short)
				stop()
				if err == nil {
					enter("a Go client")
					if (i+k)%3 != 0 { // or else it dies with it
						err = l.Release(ctx)
					}
				} else if short.Err() != nil {
					err = nil
				}
				if cerr := own.Close(); err != nil || cerr != nil {
					return fmt.Errorf("client %d, round %d: %w, %w", k, i, err, cerr)
				}
			}
			return nil
		})
	}
	for k := range 6 {
		g.Go(ctx, func(context.Context) error {
			for i := range rounds {
				s := rawDial(t, at)
				s.session(fmt.Sprint("python ", k))
				s.send(id, "acquire")
				if (i+k)%4 == 0 { // it hangs up while it waits, or just after
					ok(t, s.Close())
					continue
				}
				if kind, v := s.answer(); kind != "#RETURN" || v != true {
					t.Errorf("acquire: %s %v", kind, v)
				}
				enter("a Python client")
				if (i+k)%3 != 0 {
					if kind, v := s.call(id, "release"); kind != "#RETURN" {
						t.Errorf("release: %s %v", kind, v)
					}
				}
				ok(t, s.Close())
			}
			return nil
		})
	}
	ok(t, g.Wait(ctx))
	ok(t, lock.Recover(ctx))
	ok(t, lock.Release(ctx))
	if n := must[tristrand.LockState](t)(lock.State(ctx)).Waiting; n != 0 {
		t.Errorf("%d wait, and nobody is there", n)
	}
}
