package manager

import (
	"errors"
	"io"

	"github.com/tristrand/tristrand/manager/internal/host"
)

// errLater says that a request is answered by somebody else, who has the seat's
// turn until then.
var errLater = errors.New("the request is answered later")

// a laterAnswer is a session's call that is answered by whoever ends its wait,
// which spares the session's goroutine.
type laterAnswer struct {
	ss *session

	// Guarded by the seat's mutex.
	awaited, answered bool
	rest              func() error // what is left to do for who takes the turn again
}

// begin is a host.Call's Later.
func (a *laterAnswer) begin(giveUp func(error)) func(v any, err error) {
	a.ss.seat.waits(giveUp)
	return a.answer
}

// await leaves the turn to who answers, if nobody has yet.
func (a *laterAnswer) await() (rest func() error, err error) {
	st := a.ss.seat
	st.mu.Lock()
	defer st.mu.Unlock()
	a.awaited = true
	if a.answered {
		return a.rest, nil
	}
	return nil, errLater
}

// answer sends what comes of the call, and gives the turn on.
func (a *laterAnswer) answer(v any, err error) {
	ss, st := a.ss, a.ss.seat
	kind := returned
	if err != nil {
		kind, v = raised, ss.s.raise(err)
	}
	var rest func() error
	if st.waits(nil) {
		rest = func() error { return io.EOF } // what it holds is given on
	} else if left, werr := st.answer(ss.conn, kind, v); werr != nil {
		rest = func() error { return werr }
	} else {
		rest = left
	}
	st.mu.Lock()
	a.answered, a.rest = true, rest
	awaited := a.awaited
	st.mu.Unlock()
	if awaited {
		st.goOn(rest)
	}
}

// goOn gives the turn up, or leaves it with what there is to do to the session's
// goroutine. The caller has the turn.
func (st *seat) goOn(rest func() error) {
	more := st.full || st.r.HasFrame()
	st.mu.Lock()
	more = more || rest != nil || st.pending || st.gone
	st.taken = more
	st.mu.Unlock()
	if !more {
		return
	}
	if rest == nil {
		rest = func() error { return nil }
	}
	st.l.handed.Store(true)
	st.rest <- rest // nobody else has the turn: there is room
}

// later is a host.Call's Later: call n of the link waits without a goroutine.
func (lk *link) later(n int64, c *host.Call, giveUp func(error)) func(v any, err error) {
	lk.mu.Lock()
	defer lk.mu.Unlock()
	if len(lk.waiting) >= maxWaiting {
		return nil
	}
	lk.waiting[n] = giveUp
	lk.s.locks.Enter(c.Owner)
	lk.wg.Add(1)
	return func(v any, err error) {
		defer lk.wg.Done()
		lk.s.locks.Leave(c.Owner)
		lk.mu.Lock()
		delete(lk.waiting, n)
		lk.mu.Unlock()
		if lk.ctx.Err() != nil {
			return // nobody is there to hear it, and what it holds is given on
		}
		kind := returned
		if err != nil {
			kind, v = raised, lk.s.raise(err)
		}
		if lk.done(n, kind, v, err) == nil {
			lk.pushSoon()
		}
	}
}

// pushSoon sends what there is without waiting for anything. It may be called by
// anybody.
func (lk *link) pushSoon() {
	if lk.turning.Load() {
		return // and push follows
	}
	all, err := lk.out.some(func(b []byte) (int, error) { return lk.seat.try(b) })
	if all || err != nil {
		return // the reader sees the error, too
	}
	lk.wg.Go(func() { _ = lk.out.flush() }) // as above
}
