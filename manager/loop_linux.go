package manager

import (
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A loop waits for all sessions of a server with one system call, and has those
// that have something to say do it: see seat. It knows nothing but descriptors.
//
// It is one goroutine, as long as no turn takes long; then another takes over.
type loop struct {
	ep, wake int
	ended    sync.WaitGroup
	once     sync.Once
	closing  chan struct{}
	handed   atomic.Bool // a session's goroutine has been left something, or goes on

	// For keep.
	runners, busy atomic.Int32 // goroutines; those that give a seat a turn
	turns         atomic.Uint64
	asleep        atomic.Bool
	wakeUp        chan struct{}

	mu    sync.Mutex // guards the rest
	seats map[uint64]*seat
	next  uint64
	queue []seatEvent // that have been fetched
	first int         // of the queue
}

// a seatEvent is what the kernel says of a seat.
type seatEvent struct {
	id   uint64
	bits uint32
}

const (
	eventsAtOnce = 64
	evRead       = unix.EPOLLIN | unix.EPOLLRDHUP | unix.EPOLLET
	evGone       = unix.EPOLLRDHUP | unix.EPOLLHUP | unix.EPOLLERR
)

// newLoop returns a loop, nil where it would do no good: with one processor a
// loop that waits in the kernel would keep it from the others.
func newLoop() (*loop, error) {
	if runtime.GOMAXPROCS(0) < 2 {
		return nil, nil
	}
	ep, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	wake, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return nil, errors.Join(os.NewSyscallError("eventfd", err), unix.Close(ep))
	}
	l := &loop{ep: ep, wake: wake, seats: map[uint64]*seat{}, closing: make(chan struct{}), wakeUp: make(chan struct{}, 1)}
	if err := l.watch(unix.EPOLL_CTL_ADD, wake, 0, unix.EPOLLIN); err != nil {
		return nil, errors.Join(err, unix.Close(ep), unix.Close(wake))
	}
	l.runners.Store(1)
	l.ended.Go(l.run)
	l.ended.Go(l.keep)
	return l, nil
}

func (l *loop) watch(op, fd int, id uint64, bits uint32) error {
	ev := unix.EpollEvent{Events: bits, Fd: int32(uint32(id)), Pad: int32(uint32(id >> 32))}
	return os.NewSyscallError("epoll_ctl", unix.EpollCtl(l.ep, op, fd, &ev))
}

// close ends the loop. There must be no seats any more.
func (l *loop) close() {
	l.once.Do(func() {
		close(l.closing)
		_, _ = unix.Write(l.wake, []byte{1, 0, 0, 0, 0, 0, 0, 0}) // its counter has room
		l.ended.Wait()
		_, _ = unix.Close(l.ep), unix.Close(l.wake) // nothing was written to them
	})
}

// add has a seat watched.
func (l *loop) add(st *seat) error {
	l.mu.Lock()
	l.next++
	st.id = l.next
	l.seats[st.id] = st
	l.mu.Unlock()
	err := l.watch(unix.EPOLL_CTL_ADD, st.fd, st.id, evRead)
	if err != nil {
		l.remove(st)
	}
	return err
}

// remove forgets a seat, whose descriptor is closed next.
func (l *loop) remove(st *seat) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.seats, st.id)
}

// wantRoom asks to be told when there is room to write; without wanted, no more.
func (l *loop) wantRoom(st *seat, wanted bool) error {
	bits := uint32(evRead)
	if wanted {
		bits |= unix.EPOLLOUT
	}
	return l.watch(unix.EPOLL_CTL_MOD, st.fd, st.id, bits)
}

// run gives seats their turns. If others do so too, and none of them takes long, it
// ends.
func (l *loop) run() {
	var buf [eventsAtOnce]unix.EpollEvent
	for !l.over() {
		if st, bits := l.take(); st != nil {
			if l.asleep.Load() {
				signal(l.wakeUp)
			}
			l.busy.Add(1)
			st.event(bits)
			l.busy.Add(-1)
			l.turns.Add(1)
			continue
		}
		if n := l.runners.Load(); n > 1 && l.busy.Load() == 0 && l.runners.CompareAndSwap(n, n-1) {
			return
		}
		if l.handed.Swap(false) {
			// What sessions' goroutines have been left runs first, on this processor:
			// it would have to be fetched from it, once the loop waits in the kernel.
			runtime.Gosched()
		}
		n, err := unix.EpollWait(l.ep, buf[:], -1)
		if err != nil && !errors.Is(err, unix.EINTR) {
			panic(fmt.Sprintf("manager: epoll_wait: %v", err)) // it fails for wrong arguments alone
		}
		l.mu.Lock()
		for _, ev := range buf[:max(n, 0)] {
			id := uint64(uint32(ev.Fd)) | uint64(uint32(ev.Pad))<<32
			l.queue = append(l.queue, seatEvent{id, ev.Events})
		}
		l.mu.Unlock()
	}
}

func (l *loop) over() bool {
	select {
	case <-l.closing:
		return true
	default:
		return false
	}
}

const (
	turnTakesLong = 10 * time.Millisecond
	mostRunners   = 16
)

// keep has another goroutine go on when a turn takes long: an object may be locked
// by a call that does.
func (l *loop) keep() {
	tick := time.NewTimer(turnTakesLong)
	defer tick.Stop()
	for last, idle := uint64(0), 0; ; {
		select {
		case <-l.closing:
			return
		case <-tick.C:
		}
		turns := l.turns.Load()
		switch n := l.runners.Load(); {
		case turns != last:
			idle = 0
		case l.busy.Load() == n && n < mostRunners:
			l.runners.Add(1)
			l.ended.Go(l.run)
		case l.busy.Load() == 0:
			idle++
		}
		if last = turns; idle > 1 {
			l.asleep.Store(true)
			select {
			case <-l.closing:
				return
			case <-l.wakeUp:
			}
			l.asleep.Store(false)
			idle = 0
		}
		tick.Reset(turnTakesLong)
	}
}

// take returns the next seat that something has been fetched for.
func (l *loop) take() (*seat, uint32) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.first < len(l.queue) {
		ev := l.queue[l.first]
		l.first++
		if st := l.seats[ev.id]; st != nil {
			return st, ev.bits
		}
	}
	l.queue, l.first = l.queue[:0], 0
	return nil, 0
}

// again has a seat that has given its turn up get another, after the others. It is
// for the loop's goroutine.
func (l *loop) again(st *seat) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.queue = append(l.queue, seatEvent{st.id, 0})
}

func isGone(bits uint32) bool { return bits&evGone != 0 }

func tryRead(fd int, p []byte) (int, error) {
	for {
		n, err := unix.Read(fd, p)
		if !errors.Is(err, unix.EINTR) {
			return max(n, 0), fault(err)
		}
	}
}

func tryWrite(fd int, p []byte) (int, error) {
	for {
		n, err := unix.Write(fd, p)
		if !errors.Is(err, unix.EINTR) {
			return max(n, 0), fault(err)
		}
	}
}

// fault is the error of a system call.
func fault(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.EAGAIN):
		return errNotNow
	default:
		return os.NewSyscallError("socket", err)
	}
}

func closeFD(fd int) error { return unix.Close(fd) }

func hangUp(fd int) { _ = unix.Shutdown(fd, unix.SHUT_RDWR) } // it may have been by the peer

// takeFD takes the descriptor of a connection off the runtime, which polls it no
// more. The connection is closed.
func takeFD(c net.Conn) (int, error) {
	sc, ok := c.(syscall.Conn)
	if !ok {
		return -1, errors.ErrUnsupported
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return -1, err
	}
	fd, dupErr := -1, error(nil)
	err = raw.Control(func(old uintptr) {
		fd, dupErr = unix.FcntlInt(old, unix.F_DUPFD_CLOEXEC, 0)
	})
	if err = errors.Join(err, os.NewSyscallError("fcntl", dupErr)); err != nil {
		return -1, err
	}
	if err := c.Close(); err != nil {
		return -1, errors.Join(err, unix.Close(fd))
	}
	return fd, nil
}
