package manager_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tristrand/tristrand/coro"
	"github.com/tristrand/tristrand/manager"
	"github.com/tristrand/tristrand/strand"
)

// Calls that are given up, in the middle of answers large and small, leave every
// other with its own answer, however many wait at once.
func TestReadersGiveUp(t *testing.T) {
	ctx, end := strand.Adopt(t.Context(), "main")
	defer end()
	c := dial(t, serve(t, &manager.Server{AuthKey: testKey}, t.TempDir()+"/s").String())
	d, err := manager.NewDict[string, string](ctx, c)
	ok(t, err)
	keys := []string{"a", "b", "c", "d"}
	for i, k := range keys {
		ok(t, d.Set(ctx, k, strings.Repeat(k, 1+i*i*(64<<10))))
	}
	for _, crowd := range []int{1, 2, 6} {
		var wg sync.WaitGroup
		for w := range crowd {
			wg.Add(1)
			strand.Go(ctx, strand.Options{Kind: strand.Thread}, func(ctx context.Context) {
				defer wg.Done()
				dice := rand.New(rand.NewPCG(uint64(crowd), uint64(w)))
				for range 100 {
					k := keys[dice.IntN(len(keys))]
					short, cancel := context.WithTimeout(ctx, time.Duration(dice.IntN(2000))*time.Microsecond)
					v, found, err := d.Get(short, k)
					cancel()
					if err != nil && !errors.Is(err, context.DeadlineExceeded) {
						t.Errorf("Get(%s): %v", k, err)
						return
					}
					if err == nil && (!found || !strings.HasPrefix(v, k) || strings.Trim(v, k) != "") {
						t.Errorf("Get(%s) returned %d bytes of another", k, len(v))
						return
					}
				}
			})
		}
		wg.Wait()
	}
	v, found, err := d.Get(ctx, "a")
	if err != nil || !found || v != "a" {
		t.Errorf("at last: %q, %v, %v", v, found, err)
	}
}

// A call that waits long, and reads, gives the others their answers, and is given
// up without them.
func TestReaderWaitsLong(t *testing.T) {
	ctx, end := strand.Adopt(t.Context(), "main")
	defer end()
	at := serve(t, &manager.Server{AuthKey: testKey}, t.TempDir()+"/s").String()
	c := dial(t, at)
	q, err := manager.NewQueue[int](ctx, c, 0)
	ok(t, err)
	for range 20 {
		short, cancel := context.WithCancel(ctx)
		defer cancel()
		got := make(chan error, 1)
		strand.Go(ctx, strand.Options{Kind: strand.Thread}, func(context.Context) {
			_, err := q.Get(short)
			got <- err
		})
		for i := range 5 {
			st, err := q.State(ctx)
			ok(t, err)
			equal(t, st.Len, 0)
			if i == 2 {
				cancel()
			}
		}
		is(t, <-got, context.Canceled)
	}
	ok(t, q.Put(ctx, 7))
	v, err := q.Get(ctx)
	ok(t, err)
	equal(t, v, 7)
}

// A coroutine, which must not read, is answered, alone and after a call that read.
func TestCoroutineCalls(t *testing.T) {
	ctx, end := strand.Adopt(t.Context(), "main")
	defer end()
	c := dial(t, serve(t, &manager.Server{AuthKey: testKey}, t.TempDir()+"/s").String())
	d, err := manager.NewDict[string, int](ctx, c)
	ok(t, err)
	ok(t, d.Set(ctx, "k", 1))
	for range 3 {
		err := coro.Run(ctx, func(ctx context.Context) error {
			for i := range 40 {
				if err := d.Set(ctx, "k", i); err != nil {
					return err
				}
			}
			return nil
		})
		ok(t, err)
		v, _, err := d.Get(ctx, "k")
		ok(t, err)
		equal(t, v, 39)
	}
}

// A client whose server has been started again while it had no call waiting does
// not notice.
func TestServerRestarted(t *testing.T) {
	address := t.TempDir() + "/s"
	c := (*manager.Client)(nil)
	for round := range 3 {
		ctx, stop := context.WithCancel(t.Context())
		l := must[net.Listener](t)(manager.Listen(address))
		done := make(chan error, 1)
		go func() { done <- (&manager.Server{AuthKey: testKey}).Serve(ctx, l) }()
		if c == nil {
			c = dial(t, address)
		}
		for range 20 {
			if _, err := c.Info(t.Context()); err != nil {
				t.Fatalf("server %d: %v", round, err)
			}
		}
		stop()
		is(t, <-done, context.Canceled)
	}
}
