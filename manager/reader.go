package manager

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

// A client's link is read by one at a time, while calls wait for answers. A call
// that finds nobody reading reads itself, until its own answer has come: one that is
// alone needs no other goroutine. It leaves the rest to the link's goroutine, which
// reads until calls have come alone for a while. Coroutines leave all of it to that goroutine,
// and so do all where it cannot be seen without reading that the server is gone.

// lonelyAfter is how many calls in a row wait alone before they read themselves:
// each change of who reads costs a switch.
const lonelyAfter = 16

// begin gives a call its number, and reading to who shall do it: mine says that it
// is the call.
func (lk *clientLink) begin(p *linkCall, mayRead bool) (n int64, mine bool, err error) {
	lk.mu.Lock()
	defer lk.mu.Unlock()
	first := lk.err == nil && !lk.read
	if first {
		lk.read = true
		lk.mu.Unlock()
		if lk.peek.gone() {
			lk.end(fmt.Errorf("%w: %w", ErrConnection, io.EOF))
		}
		lk.mu.Lock()
	}
	if lk.err != nil {
		return 0, false, fmt.Errorf("%w: %w", errNotSent, lk.err)
	}
	if len(lk.calls) == 0 {
		lk.alone = min(lk.alone+1, lonelyAfter)
	} else {
		lk.alone = 0
	}
	lk.next++
	lk.calls[lk.next] = p
	if first && mayRead {
		lk.mine = p
	} else if first {
		signal(lk.lead)
	}
	return lk.next, first && mayRead, nil
}

// block reads until the answer of the call that reads has come, which it reports, or
// interrupt is called.
func (lk *clientLink) block() bool {
	for {
		done, err := lk.one()
		switch {
		case done:
			return true
		case err == nil:
		case errors.Is(err, os.ErrDeadlineExceeded):
			lk.mu.Lock()
			lk.calm()
			lk.mu.Unlock()
			return false
		default:
			lk.end(fmt.Errorf("%w: %w", ErrConnection, err))
			return false // it has been granted
		}
	}
}

// interrupt ends block.
func (lk *clientLink) interrupt() {
	lk.mu.Lock()
	defer lk.mu.Unlock()
	if lk.mine != nil {
		lk.woken = true
		_ = lk.nc.SetReadDeadline(past) // a connection that is closed ends it, too
	}
}

// calm undoes interrupt. The caller holds the mutex.
func (lk *clientLink) calm() {
	if lk.woken {
		lk.woken = false
		_ = lk.nc.SetReadDeadline(time.Time{}) // as above
	}
}

// leave is called when the call that reads waits no more. It leaves reading to the
// goroutine, if others wait.
func (lk *clientLink) leave() {
	lk.mu.Lock()
	defer lk.mu.Unlock()
	lk.mine = nil
	lk.calm()
	if lk.read = len(lk.calls) > 0; lk.read {
		signal(lk.lead)
	}
}

// reads is the link's goroutine.
func (lk *clientLink) reads() {
	defer close(lk.over)
	for {
		<-lk.lead
		lk.mu.Lock()
		over := lk.err != nil
		lk.mu.Unlock()
		if over {
			return // a call may be reading still
		}
		for enough := false; !enough; {
			var err error
			if enough, err = lk.one(); err != nil {
				lk.end(fmt.Errorf("%w: %w", ErrConnection, err))
				return
			}
		}
	}
}
