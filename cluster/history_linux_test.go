package cluster_test

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"golang.org/x/sys/unix"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/cluster"
	"github.com/tristrand/tristrand/strand"
)

// A deed is one call on a shared object, as a process of the test tells it: first that it
// begins, with Done false, then what came of it. One without an end, because its process
// was killed, and one of which it is not known whether it was done, is Unknown.
type deed struct {
	ID      string
	Object  string // "lock", "value", "semaphore", or "queue" and its number
	Client  string
	Op      string
	V       int
	Token   uint64
	At      int64 // of the system's monotonic clock, which all processes have in common
	Done    bool
	OK      bool
	Unknown bool

	end int64
}

// historyLease is about how long a process is stopped before it is taken for dead.
const historyLease = 500 * time.Millisecond

func monotonic() int64 {
	var t unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &t)
	return t.Nano()
}

var _ = func() bool { parts["history"] = historyPart; return true }()

// A teller tells deeds on stdout.
type teller struct {
	mu sync.Mutex
	n  int
}

func (h *teller) say(d deed) {
	h.mu.Lock()
	defer h.mu.Unlock()
	line, _ := json.Marshal(d)
	fmt.Println(string(line))
}

// do tells of a call: f returns a value, a token and an error; no is the error that says
// that it was not done, for sure.
func (h *teller) do(object, client, op string, v int, no []error, f func() (int, uint64, error)) error {
	h.mu.Lock()
	h.n++
	d := deed{ID: fmt.Sprint(os.Getpid(), ".", h.n), Object: object, Client: client, Op: op, V: v, At: monotonic()}
	from := d.At
	h.mu.Unlock()
	h.say(d)
	got, token, err := f()
	d.Done, d.At, d.OK = true, monotonic(), err == nil
	if op == "get" || op == "load" {
		d.V = got
	}
	d.Token, d.Unknown = token, err != nil
	for _, e := range no {
		if errors.Is(err, e) {
			d.Unknown = false
		}
	}
	if op == "get" && err != nil && d.At-from > int64(historyLease) {
		d.Unknown = true // it may have been taken for dead, and an item handed to it and taken back
		err = tristrand.ErrOutcomeUnknown
	}
	if d.Unknown {
		fmt.Fprintf(os.Stderr, "%s %s: %v\n", object, op, err)
	}
	h.say(d)
	return err
}

// historyPart uses a lock, a value and a queue until "stop": URLS.
func historyPart(ctx context.Context, args []string) error {
	c, err := cluster.Open(ctx, cluster.Options{URLs: strings.Split(args[0], ","), Durability: cluster.Memory})
	if err != nil {
		return err
	}
	var h teller
	var stop atomic.Bool
	var all sync.WaitGroup
	var life atomic.Int64
	var number atomic.Int64
	for object, round := range map[string]func(ctx context.Context, h *teller, c *cluster.Cluster, me string, unique func() int) error{
		"lock": lockRound, "value": valueRound, "queue": queueRound, "semaphore": semaphoreRound,
	} {
		all.Go(func() {
			for !stop.Load() { // a strand that does not know what it did is followed by another
				ended := make(chan struct{})
				me := fmt.Sprint(os.Getpid(), ".", life.Add(1))
				strand.Go(ctx, strand.Options{Kind: strand.Thread, Name: object + me}, func(ctx context.Context) {
					defer close(ended)
					unique := func() int { return os.Getpid()*1000000 + int(number.Add(1)) }
					for !stop.Load() && round(ctx, &h, c, me, unique) == nil {
						time.Sleep(time.Millisecond + rand.N(4*time.Millisecond))
					}
				})
				<-ended
			}
		})
	}
	for s := bufio.NewScanner(os.Stdin); s.Scan(); {
		if s.Text() == "stop" {
			break
		}
	}
	stop.Store(true)
	all.Wait()
	fmt.Println("stopped")
	return c.Close(ctx)
}

// lockRound acquires the lock, writes under its guard, and releases it.
func lockRound(ctx context.Context, h *teller, c *cluster.Cluster, me string, unique func() int) error {
	l := cluster.NewLock(c, "h")
	err := h.do("lock", me, "acquire", 0, []error{tristrand.ErrOwnerDied}, func() (int, uint64, error) {
		if err := l.Acquire(ctx); err != nil {
			return 0, 0, err
		}
		token, err := l.Token(ctx)
		return 0, token, err
	})
	if errors.Is(err, tristrand.ErrOwnerDied) {
		err = h.do("lock", me, "acquire", 0, nil, func() (int, uint64, error) {
			if err := l.Recover(ctx); err != nil {
				return 0, 0, err
			}
			token, err := l.Token(ctx)
			return 0, token, err
		})
	}
	if err != nil {
		return err
	}
	v := cluster.NewValue[int](c, "guarded")
	_ = h.do("guard", me, "store", unique(), []error{tristrand.ErrNotHeld, tristrand.ErrLost}, func() (int, uint64, error) {
		token, err := l.Token(ctx)
		if err != nil {
			return 0, 0, tristrand.ErrLost // nothing was written
		}
		return 0, token, v.StoreGuarded(ctx, l, int(token))
	})
	return h.do("lock", me, "release", 0, nil, func() (int, uint64, error) { return 0, 0, l.Release(ctx) })
}

func valueRound(ctx context.Context, h *teller, c *cluster.Cluster, me string, unique func() int) error {
	v := cluster.NewValue[int](c, "h")
	if rand.N(2) == 0 {
		x := unique()
		return h.do("value", me, "store", x, nil, func() (int, uint64, error) { return 0, 0, v.Store(ctx, x) })
	}
	return h.do("value", me, "load", 0, nil, func() (int, uint64, error) { x, err := v.Load(ctx); return x, 0, err })
}

// semaphoreRound acquires one of two, and releases it.
func semaphoreRound(ctx context.Context, h *teller, c *cluster.Cluster, me string, _ func() int) error {
	sem := cluster.NewSemaphore(c, "h", 2)
	waits, cancel := strand.WithTimeout(ctx, 100*time.Millisecond)
	defer cancel()
	err := h.do("semaphore", me, "acquire", 0, []error{context.DeadlineExceeded}, func() (int, uint64, error) { return 0, 0, sem.Acquire(waits) })
	if errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, tristrand.ErrLost) {
		return nil
	}
	if err != nil {
		return err
	}
	time.Sleep(rand.N(10 * time.Millisecond))
	return h.do("semaphore", me, "release", 0, []error{tristrand.ErrLost}, func() (int, uint64, error) { return 0, 0, sem.Release(ctx, 1) })
}

// queueEpoch is how long a queue is used: the histories of several that are short are decided
// sooner than that of one, with what is not known of it.
const queueEpoch = 2 * time.Second

func queueRound(ctx context.Context, h *teller, c *cluster.Cluster, me string, unique func() int) error {
	name := fmt.Sprint("queue ", monotonic()/int64(queueEpoch))
	q := cluster.NewQueue[int](c, name, 10)
	ctx, cancel := strand.WithTimeout(ctx, 100*time.Millisecond)
	defer cancel()
	no := []error{context.DeadlineExceeded}
	var err error
	if rand.N(2) == 0 {
		x := unique()
		err = h.do(name, me, "put", x, no, func() (int, uint64, error) { return 0, 0, q.Put(ctx, x) })
	} else {
		err = h.do(name, me, "get", 0, no, func() (int, uint64, error) { x, err := q.Get(ctx); return x, 0, err })
	}
	if errors.Is(err, context.DeadlineExceeded) {
		err = nil
	}
	return err
}

// A chronicle takes what processes tell.
type chronicle struct {
	clients []*child
	begun   map[string]deed
	deeds   []deed
}

func startHistory(t *testing.T, n int, urls string) *chronicle {
	t.Helper()
	h := &chronicle{begun: make(map[string]deed)}
	for range n {
		h.clients = append(h.clients, spawn(t, "history", urls))
	}
	return h
}

// stop has the processes stop, and returns what they did.
func (h *chronicle) stop(t *testing.T) []deed {
	t.Helper()
	for _, c := range h.clients {
		_, _ = fmt.Fprintln(c.in, "stop") // one that was killed does not listen
	}
	for _, c := range h.clients {
		for line := range c.lines {
			if line == "stopped" {
				break
			}
			var d deed
			if err := json.Unmarshal([]byte(line), &d); err != nil {
				continue // it was killed while it wrote it
			}
			h.take(d)
		}
	}
	for _, d := range h.begun {
		d.Unknown, d.end = true, math.MaxInt64
		h.deeds = append(h.deeds, d)
	}
	return h.deeds
}

func (h *chronicle) take(d deed) {
	if !d.Done {
		h.begun[d.ID] = d
		return
	}
	first := h.begun[d.ID]
	delete(h.begun, d.ID)
	d.end, d.At = d.At, first.At
	if d.Unknown {
		d.end = math.MaxInt64
	}
	h.deeds = append(h.deeds, d)
}

// check has porcupine look for an order of the deeds on each object that explains them.
func (h *chronicle) check(t *testing.T, deeds []deed) {
	t.Helper()
	models := map[string]porcupine.NondeterministicModel{
		"lock": lockHistory, "value": valueHistory, "queue": queueHistory, "semaphore": semaphoreHistory,
	}
	objects := map[string]bool{}
	for _, d := range deeds {
		objects[d.Object] = true
	}
	delete(objects, "guard") // see guarded
	for object := range objects {
		kind, _, _ := strings.Cut(object, " ")
		model := models[kind]
		var ops []porcupine.Operation
		clients, unknown := map[string]int{}, 0
		for _, d := range deeds {
			if d.Object != object || d.Done && !d.OK && !d.Unknown || d.Unknown && (d.Op == "load") {
				continue // it did nothing
			}
			if _, ok := clients[d.Client]; !ok {
				clients[d.Client] = len(clients)
			}
			if d.Unknown {
				unknown++
			}
			ops = append(ops, porcupine.Operation{ClientId: clients[d.Client], Input: d, Call: d.At, Output: d, Return: d.end})
		}
		ops = append(ops, partings(object, deeds, clients)...)
		switch porcupine.CheckOperationsTimeout(model.ToModel(), ops, patience) {
		case porcupine.Illegal:
			t.Errorf("the history of the %s, %d calls, cannot be explained", object, len(ops))
			dump(t, object, deeds)
		case porcupine.Unknown:
			t.Errorf("the history of the %s, %d calls, %d of them with an unknown end, took too long to check", object, len(ops), unknown)
			dump(t, object, deeds)
		default:
			t.Logf("the history of the %s: %d calls, %d of them with an unknown end", object, len(ops), unknown)
		}
	}
}

// dump writes a history to a file.
func dump(t *testing.T, object string, deeds []deed) {
	f, err := os.CreateTemp("", "tristrand-history-"+object+"-") //nolint:usetesting // it is to be looked at
	if err != nil {
		return
	}
	defer f.Close()
	for _, d := range deeds {
		if d.Object == object {
			fmt.Fprintf(f, "%d %d %s %s %d token %d ok %v unknown %v\n", d.At, d.end, d.Client, d.Op, d.V, d.Token, d.OK, d.Unknown)
		}
	}
	t.Logf("it is in %s", f.Name())
}

// guarded checks that writes under the lock were made in the order of their tokens: a
// holder whose lock another had already has written nothing.
func (h *chronicle) guarded(t *testing.T, deeds []deed) {
	t.Helper()
	var done []deed
	for _, d := range deeds {
		if d.Object == "guard" && d.OK {
			done = append(done, d)
		}
	}
	slices.SortFunc(done, func(a, b deed) int { return cmp.Compare(a.At, b.At) })
	for i := 1; i < len(done); i++ {
		if a, b := done[i-1], done[i]; a.end < b.At && a.Token > b.Token {
			t.Errorf("token %d wrote after %d", b.Token, a.Token)
		}
	}
	t.Logf("%d writes under the guard of the lock", len(done))
}
