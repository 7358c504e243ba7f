package local

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/internal/gtoken"
	"github.com/tristrand/tristrand/strand"
)

// A mutex is what Lock and RLock have in common. Its word holds the claim of
// the holder and two flags; one compare-and-swap takes it. The algorithm is
// that of sync.Mutex: a release wakes the first waiter, which competes with
// newcomers, and hands the mutex over once that one has waited for patience.
type mutex struct {
	word  atomic.Uint64
	depth atomic.Int32   // levels above the first; written by the holder
	guest atomic.Uintptr // the goroutine of a nameless holder

	mu    sync.Mutex // guards the rest
	queue waiters
	since time.Time // when the present queue began
}

const (
	contended = 1 << iota // somebody is in the queue
	woken                 // a waiter is awake and about to try
)

const patience = time.Millisecond

func claimOf(word uint64) strand.Claim { return strand.Claim(word) }

const flags = contended | woken

// take takes the free and uncontended mutex.
func (m *mutex) take(s *strand.Strand, c strand.Claim) bool {
	if !m.word.CompareAndSwap(0, uint64(c)) {
		return false
	}
	s.Held(1)
	if s.ID() == 0 {
		m.visited()
	}
	return true
}

// visited notes which goroutine the nameless holder is.
func (m *mutex) visited() { m.guest.Store(gtoken.Get()) }

func (m *mutex) taken(s *strand.Strand) {
	s.Held(1)
	if s.ID() == 0 {
		m.visited()
	}
}

// barge takes the free mutex although others may be waiting. own clears the
// woken flag, which is the caller's.
func (m *mutex) barge(s *strand.Strand, c strand.Claim, own uint64) bool {
	for {
		w := m.word.Load()
		if !claimOf(w).Nobody() {
			return false
		}
		if m.word.CompareAndSwap(w, w&^own|uint64(c)) {
			m.taken(s)
			return true
		}
	}
}

// lock waits until s, who has found the mutex taken or contended, has it. on is
// the Lock or RLock.
func (m *mutex) lock(ctx context.Context, on strand.Resource, s *strand.Strand, c strand.Claim, recovering bool) error {
	n := &waiter{recover: recovering}
	var own uint64 // woken, once a release has woken this waiter
	for {
		n.w = s.NewWait()
		if done, err := m.enqueue(n, s, c, own); done {
			n.w.Cancel()
			return describe(err, on)
		}
		if err := n.w.Park(ctx, on); err != nil {
			m.leave(n)
			return err
		}
		switch n.got {
		case passed:
			m.arrive(s, c)
			return nil
		case died:
			return describe(tristrand.ErrOwnerDied, on)
		default: // retry
			own = woken
			if m.barge(s, c, own) {
				return nil
			}
		}
	}
}

// enqueue puts n into the queue, unless the mutex can be taken after all or
// never will be: it is done then.
func (m *mutex) enqueue(n *waiter, s *strand.Strand, c strand.Claim, own uint64) (done bool, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for {
		w := m.word.Load()
		holder := claimOf(w).Strand()
		switch {
		case claimOf(w).Nobody():
			if own == 0 && w&contended != 0 && s.Scheduler() != nil {
				m.push(n, own) // somebody has been woken; no overtaking
				return false, nil
			}
			if m.word.CompareAndSwap(w, w&^own|uint64(c)) {
				m.taken(s)
				return true, nil
			}
		case holder == nil: // it has let go, and ended, since the word was read
		case holder.HasEnded():
			if !m.leftBy(holder, w) {
				continue
			}
			if !n.recover {
				m.word.And(^own)
				return true, tristrand.ErrOwnerDied
			}
			if m.word.CompareAndSwap(w, w&flags&^own|uint64(c)) {
				m.depth.Store(0)
				m.taken(s)
				holder.TakenOver()
				return true, nil
			}
		default:
			if m.word.CompareAndSwap(w, w&^own|contended) {
				m.push(n, own)
				return false, nil
			}
		}
	}
}

// leftBy reports whether s, which has ended, holds the mutex by the word w. One
// that let go and then ended may have been looked up by a word that was old; one
// that left the mutex keeps its slot.
func (m *mutex) leftBy(s *strand.Strand, w uint64) bool {
	return m.word.Load() == w && claimOf(w).Strand() == s
}

// push queues n: in front if it had been woken and was overtaken. The caller
// holds mu.
func (m *mutex) push(n *waiter, own uint64) {
	now := time.Now()
	if m.queue.n == 0 {
		m.since = now
	}
	if own != 0 {
		m.queue.pushFront(n)
		return
	}
	n.since = now
	m.queue.pushBack(n)
}

// leave takes n, whose wait has ended without a grant, out of the queue.
func (m *mutex) leave(n *waiter) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.queue.remove(n) && m.queue.n == 0 {
		m.word.And(^uint64(contended))
	}
}

// arrive makes s, whom the mutex was promised to, its holder.
func (m *mutex) arrive(s *strand.Strand, c strand.Claim) {
	for {
		w := m.word.Load()
		if m.word.CompareAndSwap(w, w&flags|uint64(c)) {
			m.taken(s)
			return
		}
	}
}

// quickFree gives the mutex up if its holder is the caller, under the Go
// runtime, and nobody waits.
func (m *mutex) quickFree() bool {
	w := m.word.Load()
	if w&flags != 0 {
		return false
	}
	s := claimOf(w).Strand()
	if s == nil || !s.Mine() || s.Scheduler() != nil || !m.word.CompareAndSwap(w, 0) {
		return false
	}
	s.Held(-1)
	return true
}

// free gives the mutex up; the caller is its holder, s.
func (m *mutex) free(s *strand.Strand) {
	s.Held(-1)
	if s.ID() == 0 {
		m.guest.Store(0)
	}
	for {
		w := m.word.Load()
		if w&contended != 0 && w&woken == 0 {
			m.pass(s.Scheduler() != nil)
			return
		}
		if m.word.CompareAndSwap(w, w&flags) {
			return
		}
	}
}

// pass wakes the first waiter or, if that one has waited long enough or strict
// is set, hands it the mutex. The mutex is taken, and the caller's to pass on.
func (m *mutex) pass(strict bool) {
	m.mu.Lock()
	for {
		n := m.queue.pop()
		var keep uint64
		if m.queue.n > 0 {
			keep = contended
		}
		switch {
		case n == nil:
			m.word.Store(0)
			m.mu.Unlock()
			return
		case strict || n.w.Strand().Scheduler() != nil || time.Since(n.since) >= patience:
			n.got = passed
			m.word.Store(uint64(strand.InTransit) | keep)
			m.mu.Unlock()
			if n.w.Grant() {
				return
			}
			m.mu.Lock()
		default:
			n.got = retry
			m.word.Store(keep | woken)
			m.mu.Unlock()
			if n.w.Grant() || !m.reclaim() {
				return
			}
		}
	}
}

// reclaim takes the mutex back to wake another waiter, as the one that was
// woken had given up. It returns false if that is not needed, and true with mu
// held.
func (m *mutex) reclaim() bool {
	m.mu.Lock()
	for {
		w := m.word.Load()
		next := uint64(strand.InTransit) | w&contended
		if !claimOf(w).Nobody() || w&contended == 0 {
			next = w &^ woken // its holder will wake, or nobody waits
		}
		if m.word.CompareAndSwap(w, next) {
			if next == w&^woken {
				m.mu.Unlock()
				return false
			}
			return true
		}
	}
}

// ownerEnded tells those who wait that the holder, s, has ended. The first of
// them that came to recover gets the mutex; if there is none, nobody does.
func (m *mutex) ownerEnded(s *strand.Strand) {
	m.mu.Lock()
	if w := m.word.Load(); claimOf(w).Strand() != s || !s.HasEnded() {
		m.mu.Unlock()
		return
	}
	for n := m.queue.first; n != nil; {
		next := n.next
		if n.recover && m.bequeath(n) {
			m.mu.Unlock()
			s.TakenOver()
			n.w.Wake()
			return
		}
		n = next
	}
	all := m.queue.popAll()
	m.word.And(^uint64(contended))
	m.mu.Unlock()
	grant(all, died)
}

// bequeath hands the mutex, whose holder has ended, to n, who came to recover it, and
// must be woken. It returns false if n has just given up: nobody but one who came to
// recover it may have it. The caller holds mu.
func (m *mutex) bequeath(n *waiter) bool {
	m.queue.remove(n)
	var keep uint64
	if m.queue.n > 0 {
		keep = contended
	}
	left, depth := m.word.Load(), m.depth.Swap(0)
	n.got = passed
	m.word.Store(uint64(strand.InTransit) | keep) // before it may go on
	if n.w.Settle() {
		return true
	}
	m.word.Store(left)
	m.depth.Store(depth)
	return false
}

// holder returns the strand that holds the mutex if it is the caller, and
// otherwise an error that says who does.
func (m *mutex) holder(on strand.Resource) (*strand.Strand, error) {
	c := claimOf(m.word.Load())
	s := c.Strand()
	switch {
	case s == nil:
		return nil, fmt.Errorf("%w: %v: nobody holds it", tristrand.ErrNotHeld, on)
	case s.ID() == 0 && m.guest.Load() == gtoken.Get(), s.Mine():
		return s, nil
	default:
		return nil, fmt.Errorf("%w: %v: %q holds it since %s", tristrand.ErrNotHeld, on, s.Name(), strand.Place(c.Where()))
	}
}

func describe(err error, on strand.Resource) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: %v; Recover takes it", err, on)
}

// releasers appends the holder. Somebody else may take the mutex between the two
// looks, and the slot be a third strand's by then: it looks again, as to say that
// anyone could let go would leave a deadlock unseen.
func (m *mutex) releasers(buf []strand.Releaser) ([]strand.Releaser, bool) {
	for w := m.word.Load(); ; {
		c := claimOf(w)
		s := c.Strand()
		now := m.word.Load()
		switch {
		case now&^flags != w&^flags:
			w = now
		case s == nil, s.ID() == 0:
			return buf, false
		default:
			return append(buf, strand.Releaser{Ref: s.Ref(), Where: c.Where()}), true
		}
	}
}
