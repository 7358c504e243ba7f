package local_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/local"
	"github.com/tristrand/tristrand/strand"
)

// A call is one operation of one client, and whether it was done. A call that
// was not done has changed nothing; try says that it must have had a reason.
type call struct {
	op   string
	n    int // put, or released
	try  bool
	done bool
	got  int
}

func (c call) String() string {
	name := c.op
	if c.try {
		name = "try " + name
	}
	if !c.done {
		return fmt.Sprintf("%s(%d) not done", name, c.n)
	}
	return fmt.Sprintf("%s(%d) = %d", name, c.n, c.got)
}

// A history is what several strands did to one object at once.
type history struct {
	clock atomic.Int64
	mu    sync.Mutex
	ops   []porcupine.Operation
}

// do notes one call.
func (h *history) do(client int, c call, f func() (got int, done bool)) call {
	begin := h.clock.Add(1)
	c.got, c.done = f()
	end := h.clock.Add(1)
	h.mu.Lock()
	h.ops = append(h.ops, porcupine.Operation{ClientId: client, Input: c.op, Call: begin, Output: c, Return: end})
	h.mu.Unlock()
	return c
}

// A user acts on one object: once does one random call, leave gives back what
// the client has.
type user struct {
	once  func(ctx context.Context, h *history, client int, rng *rand.Rand)
	leave func(ctx context.Context, h *history, client int)
}

// linearizable runs histories of clients that act at once on a new object, and
// checks each history against the model.
func linearizable(t *testing.T, model porcupine.Model, clients int, object func() user) {
	t.Helper()
	histories, calls := 60, 40
	if os.Getenv("TRISTRAND_SOAK") != "" {
		histories *= 100
	} else if testing.Short() {
		histories /= 6
	}
	model.Equal = nil
	model.DescribeOperation = func(_, output any) string { return output.(call).String() }
	model.DescribeState = func(state any) string { return fmt.Sprint(state) }
	for i := range histories {
		var h history
		u := object()
		var wg sync.WaitGroup
		start := make(chan struct{})
		for client := range clients {
			wg.Add(1)
			strand.Go(t.Context(), strand.Options{Kind: strand.Thread, Name: fmt.Sprint("client ", client)}, func(ctx context.Context) {
				defer wg.Done()
				rng := rand.New(rand.NewPCG(uint64(i), uint64(client)))
				<-start
				for range calls {
					u.once(ctx, &h, client, rng)
					if rng.IntN(3) == 0 {
						runtime.Gosched()
					}
				}
				if u.leave != nil {
					u.leave(ctx, &h, client)
				}
			})
		}
		close(start)
		wg.Wait()
		switch result, info := porcupine.CheckOperationsVerbose(model, h.ops, time.Minute); result {
		case porcupine.Illegal:
			path := filepath.Join(os.TempDir(), "tristrand-"+filepath.Base(t.Name())+".html")
			if err := porcupine.VisualizePath(model, info, path); err != nil {
				path = err.Error()
			}
			t.Fatalf("history %d is not linearizable; see %s", i, path)
		case porcupine.Unknown:
			t.Errorf("history %d took too long to check", i)
		}
	}
}

// short returns ctx with a time-out of up to 100 µs, or ctx itself.
func short(ctx context.Context, rng *rand.Rand) (context.Context, context.CancelFunc) {
	if rng.IntN(2) == 0 {
		return ctx, func() {}
	}
	return strand.WithTimeout(ctx, time.Duration(rng.IntN(100))*time.Microsecond)
}

// done reports whether a call was done, and stops the test if it failed for
// another reason than the ones given.
func done(t *testing.T, err error, reasons ...error) bool {
	if err != nil && !slices.ContainsFunc(append(reasons, context.DeadlineExceeded), func(r error) bool { return errors.Is(err, r) }) {
		t.Errorf("%v", err)
	}
	return err == nil
}

// held is the state of a lock: who holds it, -1 nobody, and how deep.
type held struct{ by, depth int }

// lockModel is a lock that its holder can acquire so many times. A call's n is
// its client.
func lockModel(deepest int) porcupine.Model {
	return porcupine.Model{
		Init: func() any { return held{-1, 0} },
		Step: func(state, _, output any) (bool, any) {
			h, c := state.(held), output.(call)
			me := c.n
			switch {
			case c.op == "acquire" && c.done:
				return h.by == -1 || h.by == me && h.depth < deepest, held{me, h.depth + 1}
			case c.op == "acquire":
				return !c.try || h.by != -1 && h.by != me, h
			case c.op == "release" && c.done:
				if h.depth--; h.depth == 0 {
					return h.by == me, held{-1, 0}
				}
				return h.by == me, h
			default: // refused
				return h.by != me, h
			}
		},
	}
}

func TestLockIsLinearizable(t *testing.T) {
	linearizableLock(t, func() tristrand.Locker { return new(local.Lock) }, 1)
}
func TestRLockIsLinearizable(t *testing.T) {
	linearizableLock(t, func() tristrand.Locker { return new(local.RLock) }, 3)
}

func linearizableLock(t *testing.T, mk func() tristrand.Locker, deepest int) {
	linearizable(t, lockModel(deepest), 4, func() user {
		l := mk()
		var depth [4]int // each client's own
		release := func(ctx context.Context, h *history, client int) {
			if h.do(client, call{op: "release", n: client}, func() (int, bool) {
				return 0, done(t, l.Release(ctx), tristrand.ErrNotHeld)
			}).done {
				depth[client]--
			}
		}
		once := func(ctx context.Context, h *history, client int, rng *rand.Rand) {
			if d := depth[client]; d == deepest || d > 0 && rng.IntN(2) == 0 || rng.IntN(10) == 0 {
				release(ctx, h, client)
				return
			}
			try := rng.IntN(3) == 0
			ctx, cancel := short(ctx, rng)
			defer cancel()
			if h.do(client, call{op: "acquire", n: client, try: try}, func() (int, bool) {
				if try {
					return 0, done(t, l.TryAcquire(ctx), tristrand.ErrBusy)
				}
				return 0, done(t, l.Acquire(ctx))
			}).done {
				depth[client]++
			}
		}
		return user{once, func(ctx context.Context, h *history, client int) {
			for depth[client] > 0 {
				release(ctx, h, client)
			}
		}}
	})
}

const semaphoreBound = 3

func TestSemaphoreIsLinearizable(t *testing.T) {
	model := porcupine.Model{
		Init: func() any { return semaphoreBound },
		Step: func(state, _, output any) (bool, any) {
			free, c := state.(int), output.(call)
			switch {
			case c.op == "acquire" && c.done:
				return free > 0, free - 1
			case c.op == "acquire": // a try may lose to one who was promised it, and gave up
				return true, free
			case c.done:
				return free+c.n <= semaphoreBound, free + c.n
			default: // refused
				return free+c.n > semaphoreBound, free
			}
		},
	}
	linearizable(t, model, 5, func() user {
		m := local.NewBoundedSemaphore(semaphoreBound)
		var has [5]int
		return user{once: func(ctx context.Context, h *history, client int, rng *rand.Rand) {
			// Whoever has one never waits without a time-out: nobody could release.
			if n := 1 + rng.IntN(2); has[client] >= n && rng.IntN(2) == 0 {
				if h.do(client, call{op: "release", n: n}, func() (int, bool) {
					return 0, done(t, m.Release(ctx, n), tristrand.ErrOverRelease)
				}).done {
					has[client] -= n
				}
				return
			}
			try := rng.IntN(3) == 0
			ctx, cancel := strand.WithTimeout(ctx, time.Duration(rng.IntN(100))*time.Microsecond)
			defer cancel()
			if h.do(client, call{op: "acquire", try: try}, func() (int, bool) {
				if try {
					return 0, done(t, m.TryAcquire(ctx), tristrand.ErrBusy)
				}
				return 0, done(t, m.Acquire(ctx))
			}).done {
				has[client]++
			}
		}}
	})
}

// items are those of a queue, in order; a string can be compared.
type items string

func (s items) push(v int) items { return s + items(rune(v)) }

const queueBound = 2

// queueModel is a bounded queue; pop says which item is next and what is left. A
// try may be refused in favour of a strand that has been promised an item, or
// room for one, and has not run since: it is asked for no reason.
func queueModel(pop func(items) (int, items)) porcupine.Model {
	return porcupine.Model{
		Init: func() any { return items("") },
		Step: func(state, _, output any) (bool, any) {
			s, c := state.(items), output.(call)
			n := len([]rune(s))
			switch {
			case c.op == "put" && c.done:
				return n < queueBound, s.push(c.n)
			case !c.done:
				return true, s
			default:
				if n == 0 {
					return false, s
				}
				v, rest := pop(s)
				return v == c.got, rest
			}
		},
	}
}

func TestQueueIsLinearizable(t *testing.T) {
	linearizableQueue(t, local.NewQueue[int], func(s items) (int, items) {
		r := []rune(s)
		return int(r[0]), items(r[1:])
	})
}

func TestLIFOIsLinearizable(t *testing.T) {
	linearizableQueue(t, local.NewLIFO[int], func(s items) (int, items) {
		r := []rune(s)
		return int(r[len(r)-1]), items(r[:len(r)-1])
	})
}

func TestPriorityIsLinearizable(t *testing.T) {
	linearizableQueue(t, func(bound int) *local.Queue[int] {
		return local.NewPriority(bound, func(a, b int) bool { return a < b })
	}, func(s items) (int, items) {
		r := []rune(s)
		i := slices.Index(r, slices.Min(r))
		least := int(r[i])
		return least, items(slices.Delete(r, i, i+1))
	})
}

func linearizableQueue(t *testing.T, mk func(bound int) *local.Queue[int], pop func(items) (int, items)) {
	linearizable(t, queueModel(pop), 5, func() user {
		q := mk(queueBound)
		var next atomic.Int32
		return user{once: func(ctx context.Context, h *history, client int, rng *rand.Rand) {
			try := rng.IntN(3) == 0
			ctx, cancel := strand.WithTimeout(ctx, time.Duration(rng.IntN(100))*time.Microsecond)
			defer cancel()
			if rng.IntN(2) == 0 {
				v := 'a' + int(next.Add(1))
				h.do(client, call{op: "put", n: v, try: try}, func() (int, bool) {
					if try {
						return 0, done(t, q.TryPut(ctx, v), tristrand.ErrFull)
					}
					return 0, done(t, q.Put(ctx, v))
				})
				return
			}
			h.do(client, call{op: "get", try: try}, func() (v int, ok bool) {
				var err error
				if try {
					v, err = q.TryGet(ctx)
				} else {
					v, err = q.Get(ctx)
				}
				return v, done(t, err, tristrand.ErrEmpty)
			})
		}}
	})
}
