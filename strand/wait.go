package strand

import (
	"context"
	"errors"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// The word of a strand's current wait: its number, so that what comes too late
// for one wait cannot settle the next; two bits for those who read its edge; and
// its phase.
const (
	open    = 1 // nobody has settled it
	granted = 2
	over    = 3 // ctx ended it, or it was refused or cancelled

	phaseMask = 3
	visible   = 4 // parked: the edge may be read
	reading   = 8 // the edge is being read, and the wait is not settled meanwhile
	seqShift  = 4
)

// A Wait is one wait of one strand. It is settled once: by Grant, by the end of
// the ctx that it parks under, or by Cancel. Whoever makes one must Park or
// Cancel it.
type Wait struct {
	s   *Strand
	seq uint64
}

// NewWait begins a wait of s. It must be called by s itself, which can have one
// at a time; it replaces one that was never settled.
func (s *Strand) NewWait() Wait {
	if s.id == 0 {
		s = newNameless() // it has to be told apart from all the others
	}
	if s.park == nil && s.sched == nil {
		s.park = make(chan struct{}, 1)
		s.bubble = bubble()
	}
	seq := s.phase.Load()>>seqShift + 1
	s.phase.Store(seq<<seqShift | open)
	return Wait{s, seq}
}

// Strand returns whose wait it is.
func (w Wait) Strand() *Strand { return w.s }

// is reports whether the wait is in a phase.
func (w Wait) is(phase uint64) bool {
	p := w.s.phase.Load()
	return p>>seqShift == w.seq && p&phaseMask == phase
}

// settle ends the wait in one of two ways and reports whether it was open.
func (w Wait) settle(as uint64) bool {
	for {
		p := w.s.phase.Load()
		switch {
		case p>>seqShift != w.seq || p&phaseMask != open:
			return false
		case p&reading != 0:
			runtime.Gosched() // for a few loads' time
		case w.s.phase.CompareAndSwap(p, w.seq<<seqShift|as):
			return true
		}
	}
}

// Grant settles the wait: its Park returns nil. It returns false, and has
// changed nothing, when the wait was settled before: try the next waiter. It
// may be called from anywhere and does not block; what the waiter is given must
// be written before. Across the border of a synctest bubble it panics.
func (w Wait) Grant() bool {
	if !w.Settle() {
		return false
	}
	w.s.wake()
	return true
}

// Settle is Grant without the waking, for who has to know the outcome before it
// lets go of its mutex: Wake must follow a Settle that returned true, with no
// mutex held. The waiter may go on before, if its ctx ends.
func (w Wait) Settle() bool {
	if s := w.s; s.bubble != 0 && s.bubble != bubble() {
		panic("strand: Grant of " + s.String() + " from outside the synctest bubble that it waits in")
	}
	return w.settle(granted)
}

// Wake makes the waiter go on after a Settle that returned true. It does nothing
// for the zero Wait.
func (w Wait) Wake() {
	if w.s != nil {
		w.s.wake()
	}
}

// wake makes the strand look at its wait, which has been settled.
func (s *Strand) wake() {
	if s.sched != nil {
		s.sched.Ready(s)
		return
	}
	if b := s.blocker.Load(); b != nil {
		b.Wake()
		return
	}
	select { // a token says "look at the phase"; one is enough
	case s.park <- struct{}{}:
	default:
	}
}

// Cancel ends a wait that will not be parked. It returns false when a Grant
// came first, which counts: whatever was granted is the caller's.
func (w Wait) Cancel() bool {
	if w.settle(over) {
		return true
	}
	if w.s.sched != nil && w.is(granted) {
		w.s.sched.Park(w.s) // takes the Ready of the Grant
	}
	return false
}

// Park waits, for on, until the wait is granted or ctx ends. It returns nil
// exactly when a Grant has returned true, and otherwise ctx's error or, when no
// grant can ever come, a *DeadlockError. It must be called by the strand whose
// wait it is, with no mutex held.
func (w Wait) Park(ctx context.Context, on Resource) error {
	var err error
	timed, published := w.publish(ctx, on)
	if published {
		defer w.withdraw()
		err = w.refuse(on, timed)
	}
	switch {
	case err != nil:
		return err
	case w.s.endsOwn && ctx == context.Context(&w.s.ctx):
		// Here, and not in a function of its own: the more calls are open at a switch
		// of coroutines the more it costs, and their stacks shall stay small.
		s := w.s
		s.inOwn = true
		if s.ctx.Err() == nil || !w.settle(over) {
			s.sched.Park(s)
		}
		s.inOwn = false
		if w.is(granted) {
			return nil
		}
		return w.keptEnd(on)
	case w.s.sched != nil:
		return w.parkScheduled(ctx, on)
	default:
		return w.parkFree(ctx, on)
	}
}

func (w Wait) parkFree(ctx context.Context, on Resource) error {
	s, done := w.s, ctx.Done()
	if done != nil && ctx == context.Context(&s.ctx) && s.watchesOwn() {
		return w.parkOwn(on)
	}
	for w.is(open) {
		if done == nil {
			<-s.park
			continue
		}
		select {
		case <-s.park:
		case <-done:
			if w.settle(over) {
				return w.timedOut(ctx, on)
			}
		}
	}
	return w.verdict()
}

// watchesOwn makes the end of the strand's own ctx settle what it waits for, from
// its second park on: a select at each would cost 80 ns more. A strand in a
// synctest bubble is not watched, as its ctx may end outside.
func (s *Strand) watchesOwn() bool {
	if s.more != nil && s.more.unwatch != nil {
		return true
	}
	if !s.parked || s.bubble != 0 {
		s.parked = true
		return false
	}
	s.extra().unwatch = context.AfterFunc(&s.ctx, s.ownEnded)
	return true
}

// ownEnded settles the strand's wait if it is parked under its own ctx, which
// has ended. One that parks later looks at the ctx after setting ownCtx.
func (s *Strand) ownEnded() {
	p := s.phase.Load()
	if w := (Wait{s, p >> seqShift}); s.ownCtx.Load() && w.settle(over) {
		s.wake()
	}
}

// parkOwn parks under the strand's own ctx, which is watched.
func (w Wait) parkOwn(on Resource) error {
	s := w.s
	s.ownCtx.Store(true)
	if s.ctx.Err() == nil || !w.settle(over) {
		for w.is(open) {
			<-s.park
		}
	}
	s.ownCtx.Store(false)
	if err := w.verdict(); err != nil {
		return err
	}
	if w.is(over) {
		return w.timedOut(&s.ctx, on)
	}
	return nil
}

func (w Wait) parkScheduled(ctx context.Context, on Resource) error {
	s := w.s
	if ctx.Err() != nil {
		if w.settle(over) {
			return w.timedOut(ctx, on)
		}
	} else if ctx.Done() != nil {
		end := func() {
			if w.settle(over) {
				s.sched.Ready(s)
			}
		}
		stop, ended := onEnd(ctx, end)
		if ended {
			end()
		}
		defer stop()
	}
	s.sched.Park(s)
	if err := w.verdict(); err != nil {
		return err
	}
	if w.is(over) {
		return w.timedOut(ctx, on)
	}
	return nil
}

// keptEnd says why a wait that was parked under the strand's own ctx, whose end the
// scheduler tells of, has not been granted.
func (w Wait) keptEnd(on Resource) error {
	if err := w.verdict(); err != nil {
		return err
	}
	return w.timedOut(&w.s.ctx, on)
}

// EndsOwn says, before the strand runs, that its scheduler will call OwnEnded
// when the strand's own context has ended. Parks under that context cost less
// then, as nobody else has to watch it.
func (s *Strand) EndsOwn() { s.endsOwn = true }

// OwnEnded ends the strand's wait, if it is parked under its own context, which
// has ended. The strand's scheduler calls it, on its turn.
func (s *Strand) OwnEnded() {
	w := Wait{s, s.phase.Load() >> seqShift}
	if s.inOwn && w.settle(over) {
		s.wake()
	}
}

// Refuse ends the strand's current wait with err and makes the strand ready. It
// returns false, and does nothing, when the wait has been settled. It is for the
// strand's scheduler: inside Park, of a turn that cannot be given up, or from its
// turn, of a wait that will never end.
func (s *Strand) Refuse(err error) bool {
	w := Wait{s, s.phase.Load() >> seqShift}
	if !w.is(open) {
		return false
	}
	s.doom.Store(&doom{w.seq, err})
	if !w.settle(over) {
		return false
	}
	s.wake()
	return true
}

// timedOut returns the error of a wait that ctx ended, with the cycle if it was
// one of a deadlock that only the deadline would have broken.
func (w Wait) timedOut(ctx context.Context, on Resource) error {
	err := Err(ctx)
	if !errors.Is(err, context.DeadlineExceeded) || w.s.id == 0 || w.s.kind == Nameless {
		return err
	}
	if nodes := w.s.walk(on, true); nodes != nil {
		return &endedError{err, newDeadlockError(nodes)}
	}
	return err
}

// bubble returns the number of the synctest bubble that the caller is in, 0 if
// none. Outside a bubble it costs a look at the clock: a bubble's stands at the
// year 2000.
func bubble() int32 {
	if time.Now().Unix() > 1_500_000_000 {
		return 0
	}
	var buf [128]byte
	head, _, _ := strings.Cut(string(buf[:runtime.Stack(buf[:], false)]), "]:")
	_, id, ok := strings.Cut(head, "synctest bubble ")
	if !ok {
		return 0
	}
	n, err := strconv.ParseUint(id, 10, 64)
	if err != nil {
		return 0
	}
	return int32(n%(1<<31-1)) + 1 // never 0
}
