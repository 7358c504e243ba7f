package thread

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/tristrand/tristrand/strand"
)

// A GIL lets its threads run one at a time, as a global interpreter lock does.
// It is for teaching and for guests that are not safe for threads. A thread
// gives way when it waits in the library, and when another has waited for the
// interval at its next check-in: strand.Yield or any call of the library. A
// plain Go loop does not check in, and a library cannot pre-empt it; nor does a
// call that blocks outside the library let others run.
type GIL struct {
	interval time.Duration
	drop     atomic.Bool // somebody has waited long enough
	switches atomic.Uint64

	mu      sync.Mutex // guards the rest
	taken   bool
	queue   []chan struct{} // those who want the turn, first come first served
	permits map[*strand.Strand]chan struct{}
}

var _ strand.Scheduler = (*GIL)(nil)

// DefaultInterval is CPython's.
const DefaultInterval = 5 * time.Millisecond

// NewGIL returns a lock whose threads give way after interval; 0 or less is
// DefaultInterval.
func NewGIL(interval time.Duration) *GIL {
	if interval <= 0 {
		interval = DefaultInterval
	}
	return &GIL{interval: interval, permits: make(map[*strand.Strand]chan struct{})}
}

// Switches returns how often the turn has gone from one thread to another that
// was waiting for it.
func (g *GIL) Switches() uint64 { return g.switches.Load() }

// Spawn starts s; it waits for its turn.
func (g *GIL) Spawn(s *strand.Strand, body func()) {
	go func() {
		g.acquire()
		defer func() {
			g.mu.Lock()
			delete(g.permits, s)
			g.mu.Unlock()
			g.release()
		}()
		body()
	}()
}

// Step gives way if another thread has waited for the interval.
func (g *GIL) Step(*strand.Strand, strand.Op) {
	if g.drop.Load() && g.drop.CompareAndSwap(true, false) {
		g.release()
		g.acquire()
	}
}

// Park gives the turn up until Ready(s).
func (g *GIL) Park(s *strand.Strand) {
	p := g.permit(s)
	g.release()
	<-p
	g.acquire()
}

// Ready lets s go on when it gets the turn.
func (g *GIL) Ready(s *strand.Strand) { g.permit(s) <- struct{}{} }

// After runs f after d, in a goroutine of its own.
func (g *GIL) After(d time.Duration, f func()) (stop func() bool) {
	return time.AfterFunc(d, f).Stop
}

// permit returns the channel that takes the one Ready of each Park.
func (g *GIL) permit(s *strand.Strand) chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	p := g.permits[s]
	if p == nil {
		p = make(chan struct{}, 1)
		g.permits[s] = p
	}
	return p
}

// acquire waits for the turn. Whoever waits asks for it after each interval.
func (g *GIL) acquire() {
	g.mu.Lock()
	if !g.taken {
		g.taken = true
		g.mu.Unlock()
		return
	}
	turn := make(chan struct{})
	g.queue = append(g.queue, turn)
	g.mu.Unlock()
	t := time.NewTimer(g.interval)
	defer t.Stop()
	for {
		select {
		case <-turn:
			g.switches.Add(1)
			return
		case <-t.C:
			g.ask(turn)
			t.Reset(g.interval)
		}
	}
}

// ask asks whoever has the turn to give it up, for one who still waits for it.
func (g *GIL) ask(turn chan struct{}) {
	g.mu.Lock()
	defer g.mu.Unlock()
	select {
	case <-turn:
	default:
		g.drop.Store(true)
	}
}

// release hands the turn to the first who waits.
func (g *GIL) release() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.drop.Store(false)
	if len(g.queue) == 0 {
		g.taken = false
		return
	}
	close(g.queue[0])
	g.queue[0] = nil
	g.queue = g.queue[1:]
}
