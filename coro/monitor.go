package coro

import (
	"bytes"
	"context"
	"fmt"
	"reflect"
	"runtime"
	"sync"
	"time"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/strand"
)

// A HogError says that a coroutine has kept its hub for longer than it should:
// none of the others could run meanwhile.
type HogError struct {
	Hub, Coroutine string
	For            time.Duration // at least
	Stack          []byte        // of the coroutine when it was noticed; nil if it was not found
}

func (e *HogError) Error() string {
	return fmt.Sprintf("coro: %q keeps hub %q for more than %v without handing over; use Await, or coro.Sleep(ctx, 0) in long loops\n%s",
		e.Coroutine, e.Hub, e.For, e.Stack)
}

func report(ctx context.Context, c *Coroutine) {
	if !c.end.tell() {
		tristrand.Report(ctx, fmt.Errorf("%v, which nobody joined: %w", c, c.err))
	}
}

const defaultHogAfter = 100 * time.Millisecond

// A monitor looks at a hub now and then, from outside, for a coroutine that keeps
// it. It rests while the hub does.
type monitor struct {
	mu    sync.Mutex // guards the rest
	timer *time.Timer
	on    bool
	over  bool
	seen  uint64        // the hub's turns at the last look
	told  bool          // of this one
	at    time.Time     // of the last look
	looks int           // at this turn, before
	cpu   time.Duration // of the process, at the first of them
}

// patientLooks is after how many looks at the same turn it counts whatever the
// processor time was.
const patientLooks = 10

// awake is called on the hub's turn when it has something to do again.
func (m *monitor) awake(h *Hub) {
	if h.hogAfter <= 0 {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.on || m.over {
		return
	}
	m.on, m.at = true, time.Now()
	if m.timer == nil {
		m.timer = time.AfterFunc(h.hogAfter, func() { m.look(h) })
	} else {
		m.timer.Reset(h.hogAfter)
	}
}

func (m *monitor) stop() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.over = true
	if m.timer != nil {
		m.timer.Stop()
	}
}

// glance returns how many turns there have been and who has the current one. What
// it reads may be a little old.
//
//go:norace
func (h *Hub) glance() (turns uint64, cur *seat, s *strand.Strand) {
	if cur = h.cur; cur != nil {
		s = cur.s
	}
	return h.turns, cur, s
}

func (m *monitor) look(h *Hub) {
	turns, cur, s := h.glance()
	h.mu.Lock()
	resting := h.asleep != nil || h.polling
	h.mu.Unlock()
	m.mu.Lock()
	if m.over {
		m.mu.Unlock()
		return
	}
	if resting {
		m.on = false
		m.mu.Unlock()
		return
	}
	now := time.Now()
	// A look that comes late says that the machine is busy, which may also be why
	// the hub is where it was.
	late := now.Sub(m.at) > h.hogAfter+h.hogAfter/4
	m.at = now
	cpu, known := cpuTime()
	if m.looks++; turns != m.seen {
		m.seen, m.told, m.looks, m.cpu = turns, false, 0, cpu
	}
	hogs := m.looks > 0 && cur != nil && !m.told && !late
	sure := !known || cpu-m.cpu >= h.hogAfter/2 || m.looks >= patientLooks
	m.timer.Reset(h.hogAfter)
	m.mu.Unlock()
	if !hogs {
		return
	}
	// One that could run, and has had no processor, does not keep the hub: the machine
	// keeps it.
	if stack := h.stackOf(cur); sure || blocked(stack) {
		m.mu.Lock()
		m.told = m.told || turns == m.seen
		m.mu.Unlock()
		tristrand.Report(context.Background(), &HogError{h.Name, s.Name(), h.hogAfter, stack})
	}
}

// blocked reports whether the stack is of a goroutine that waits.
func blocked(stack []byte) bool {
	_, state, _ := bytes.Cut(stack, []byte("["))
	for _, s := range []string{"running", "runnable", "syscall"} {
		if bytes.HasPrefix(state, []byte(s)) {
			return false
		}
	}
	return len(state) > 0
}

// stackOf returns the stack of the coroutine that has the turn: the one goroutine
// that runs a fiber of the hub and is not suspended.
func (h *Hub) stackOf(st *seat) []byte {
	buf := make([]byte, 1<<20)
	buf = buf[:runtime.Stack(buf, true)]
	var found []byte
	mark := []byte(fmt.Sprintf("coro.(*seat).run(0x%x", addressOf(st)))
	for stack := range bytes.SplitSeq(buf, []byte("\n\n")) {
		head, _, _ := bytes.Cut(stack, []byte("\n"))
		if bytes.Contains(head, []byte("[coroutine")) {
			continue
		}
		if bytes.Contains(stack, mark) {
			return bytes.Clone(stack)
		}
		if bytes.Contains(stack, []byte("coro.(*seat).run(")) {
			found = stack
		}
	}
	return bytes.Clone(found)
}

// addressOf returns what the runtime prints for st as an argument.
func addressOf(st *seat) uintptr { return reflect.ValueOf(st).Pointer() }
