package process_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/process"
)

// murder kills workers of a pool at random moments until it has killed enough: most of
// them at work, some while they start.
func (c *tally) murder(t *testing.T, pool string, kills int, over chan<- struct{}) {
	defer close(over)
	rng := rand.New(rand.NewPCG(7, uint64(time.Now().UnixNano())))
	for end := time.Now().Add(patience); kills > 0; {
		if !soaking() && time.Now().After(end) {
			t.Errorf("there are %d kills to do, and no workers to kill", kills)
			return
		}
		time.Sleep(time.Duration(rng.IntN(6000)) * time.Microsecond)
		pids := workersOf(pool)
		if rng.IntN(8) > 0 {
			pids = c.worked(pids)
		}
		if len(pids) == 0 {
			continue
		}
		if syscall.Kill(pids[rng.IntN(len(pids))], syscall.SIGKILL) == nil {
			kills--
		}
	}
}

// A tally is what became of the jobs of a storm.
type tally struct {
	mu   sync.Mutex
	next int
	died map[int]bool // the jobs whose worker was killed
	done map[int]bool // those that succeeded
	most map[int]int  // how often a job may have begun
	pids map[int]bool // processes that have run a job
	bad  []string
}

// worked returns those of the processes that have run a job.
func (c *tally) worked(pids []int) []int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.DeleteFunc(pids, func(pid int) bool { return !c.pids[pid] })
}

func newTally() *tally {
	return &tally{died: make(map[int]bool), done: make(map[int]bool), pids: make(map[int]bool), most: make(map[int]int)}
}

func (c *tally) begin(most int) (id int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.next++
	c.most[c.next] = most
	return c.next
}

func (c *tally) end(id, bytes int, w written, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var e *process.ExitError
	switch {
	case err == nil:
		c.done[id], c.pids[w.PID] = true, true
		if w.ID != id || len(w.Data) != bytes || bytes > 0 && w.Data[bytes-1] != byte(id) {
			c.bad = append(c.bad, fmt.Sprintf("job %d gave the result of job %d with %d bytes", id, w.ID, len(w.Data)))
		}
	case errors.As(err, &e) && e.Signal == syscall.SIGKILL && e.Kind == "signal":
		c.died[id] = true
	default:
		c.bad = append(c.bad, fmt.Sprintf("job %d: %v", id, err))
	}
}

// isOver reports whether the storm is over, or something is wrong.
func (c *tally) isOver(over <-chan struct{}) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case <-over:
		return true
	default:
		return len(c.bad) > 0
	}
}

// check looks whether every job ran as often as it may.
func (c *tally) check(t *testing.T, l ledger) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, bad := range c.bad {
		if i == 5 {
			t.Errorf("and %d more", len(c.bad)-5)
			break
		}
		t.Error(bad)
	}
	ran := l.counts(t)
	for id, most := range c.most {
		n := ran[strconv.Itoa(id)]
		if n > most {
			t.Errorf("job %d ran %d times, and may run %d times", id, n, most)
		}
		if n == 0 && c.done[id] {
			t.Errorf("job %d has succeeded and never ran", id)
		}
	}
	t.Logf("%d jobs, %d of them died with their workers", c.next, len(c.died))
}

// feed submits jobs of one kind until the storm is over.
func (c *tally) feed(ctx context.Context, p *process.Pool, e entry, retries int, over <-chan struct{}) {
	const window = 40
	type running struct {
		id int
		f  *tristrand.Future[written]
	}
	var all []running
	take := func(n int) {
		for ; len(all) > n; all = all[1:] {
			w, err := all[0].f.Result(ctx)
			c.end(all[0].id, e.Bytes, w, err)
		}
	}
	for {
		if c.isOver(over) {
			take(0)
			return
		}
		e.ID = c.begin(1 + retries)
		opts := []tristrand.CallOption{tristrand.Retries(retries), tristrand.Backoff(time.Millisecond, 10*time.Millisecond)}
		all = append(all, running{e.ID, write.Submit(ctx, p, e, opts...)})
		take(window)
	}
}

// spread maps over inputs until the storm is over.
func (c *tally) spread(ctx context.Context, p *process.Pool, e entry, over <-chan struct{}) {
	var ids []int
	var inputs iter.Seq[entry] = func(yield func(entry) bool) {
		for {
			if c.isOver(over) {
				return
			}
			e.ID = c.begin(1)
			ids = append(ids, e.ID)
			if !yield(e) {
				return
			}
		}
	}
	n := 0
	for w, err := range write.Map(ctx, p, inputs, tristrand.Chunk(16)) {
		c.end(ids[n], e.Bytes, w, err)
		n++
	}
	if n != len(ids) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.bad = append(c.bad, fmt.Sprintf("of %d inputs of Map %d have an outcome", len(ids), n))
	}
}

// Workers are killed at random moments under load. No job is lost, none runs twice that
// may not, and the pool has its workers back.
func TestAStormOfKills(t *testing.T) {
	ctx := adopt(t)
	const workers = 3
	p := open(t, &process.Pool{Workers: workers, Queue: 64, Name: "storm" + strconv.Itoa(os.Getpid())})
	l, c, over := newLedger(t), newTally(), make(chan struct{})
	var feeders sync.WaitGroup
	feeders.Go(func() { c.murder(t, p.Name, times(50, 1000), over) })
	for _, kind := range []struct {
		e       entry
		retries int
	}{
		{entry{Ledger: l}, 0},
		{entry{Ledger: l, For: 2 * time.Millisecond}, 0},
		{entry{Ledger: l, Bytes: 200 << 10}, 0},
		{entry{Ledger: l, For: 20 * time.Microsecond}, 1000},
	} {
		feeders.Go(func() { c.feed(ctx, p, kind.e, kind.retries, over) })
	}
	feeders.Go(func() { c.spread(ctx, p, entry{Ledger: l}, over) })
	feeders.Wait()
	c.check(t, l)
	works(ctx, t, p, workers)
	if st := p.Stats(); st.Busy != 0 || st.Queued != 0 || st.Submitted != st.Succeeded+st.Failed+st.Cancelled || st.Restarts == 0 {
		t.Errorf("at the end the pool says %+v", st)
	}
}

// The same where processes share no memory.
func TestAStormOfKillsOverPipes(t *testing.T) { overPipes(t, "^TestAStormOfKills$") }

// overPipes runs tests in a process that has been told to share no memory.
func overPipes(t *testing.T, tests string) {
	t.Helper()
	const key = "TRISTRAND_TRANSPORT"
	if os.Getenv(key) != "" {
		t.Skip("this is that test")
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run="+tests, "-test.timeout=2h", "-test.v")
	cmd.Env = append(os.Environ(), key+"=pipes")
	out, err := cmd.CombinedOutput()
	if err != nil || strings.Contains(string(out), "no tests to run") {
		t.Errorf("%v\n%s", err, out)
	}
}
