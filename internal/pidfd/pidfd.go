// Package pidfd names processes so that a number given to another process later
// cannot be mistaken for them, and tells when they end, whether or not they are
// children of the caller.
//
// [Self] gives the pair (pid, id) by which a process registers itself, in shared
// memory say; [Alive] and [Watch] take that pair in another process. [Handle]
// is a Linux pidfd that waits in the runtime's poller: a thousand watched
// processes cost a thousand small goroutines and no thread.
//
// # Identity
//
// Where the kernel has a file system of pidfds (Linux 6.9 and later, 64 bit) the
// id is the inode number of the process's pidfd, which is never given twice
// until the machine restarts. Elsewhere it is the time at which the process
// started, with the top bit set. An id of 0 means that neither can be read
// (seccomp and no /proc); such a process is known by its pid alone.
//
// # Limits
//
// A pid means something in one pid namespace only. To one that may stand in
// another pass a pidfd itself over a socket, and use [NewHandle]. A process that is stopped is alive. A
// process that has ended is dead at once, even if nobody has reaped it.
//
// # Other systems
//
// Without pidfds (darwin, windows, a sandbox that refuses the calls) Watch looks
// every [PollInterval].
package pidfd

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"time"
)

// ErrGone says that the process has ended, or that its pid is another's now.
var ErrGone = errors.New("pidfd: the process is gone")

// PollInterval is how often Watch looks where the system cannot tell.
const PollInterval = 20 * time.Millisecond

// byStart marks an id that is a start time.
const byStart = 1 << 63

// Self returns what names this process to others. The pid holds in the pid
// namespace of this process; an id of 0 is no identity.
// It is computed once.
func Self() (pid int, id uint64) { return os.Getpid(), selfID() }

var selfID = sync.OnceValue(func() uint64 {
	id, err := Identity(os.Getpid())
	if err != nil {
		return 0
	}
	return id
})

// Identity returns the id of the process that has the pid now: ErrGone if none
// has, 0 if it has one but this system gives no identity.
func Identity(pid int) (uint64, error) { return identity(pid) }

// Alive reports whether the process is still there. An id of 0 fits whoever has
// the pid. What cannot be found out counts as alive, so that nobody is given up
// for lack of a descriptor.
func Alive(pid int, id uint64) bool { return !errors.Is(check(pid, id), ErrGone) }

// Watch calls died, once and in a goroutine of its own, when the process ends.
// If it has ended already, or the pid is another's, the error is ErrGone and
// died is not called; any other error says what the system lacked.
//
// After stop has returned died will not begin; one that has begun is not waited
// for. stop may be called several times, and from died. A watch that is neither
// stopped nor fired keeps a goroutine and a descriptor.
func Watch(pid int, id uint64, died func()) (stop func(), err error) {
	if pid <= 0 {
		return nil, fmt.Errorf("pidfd: cannot watch pid %d: give the pid of one process, as Self returned it", pid)
	}
	return watch(pid, id, died)
}

// once lets either the death or the stop win.
type once struct {
	mu   sync.Mutex
	over bool
}

// first reports whether nobody called it before.
func (o *once) first() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	won := !o.over
	o.over = true
	return won
}

// poll is Watch for where only looking tells; end, if not nil, is run when the
// watch is over.
func poll(gone func() bool, died, end func()) (stop func()) {
	var o once
	halt := make(chan struct{})
	go func() {
		if end != nil {
			defer end()
		}
		tick := time.NewTicker(PollInterval)
		defer tick.Stop()
		for {
			select {
			case <-halt:
				return
			case <-tick.C:
			}
			if gone() {
				if o.first() {
					died()
				}
				return
			}
		}
	}()
	return func() {
		if o.first() {
			close(halt)
		}
	}
}
