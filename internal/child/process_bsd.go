//go:build darwin || dragonfly || freebsd || netbsd || openbsd

package child

import (
	"errors"
	"os"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// rssUnit is a byte on darwin, a KiB elsewhere.
var rssUnit = map[bool]int64{true: 1, false: 1 << 10}[runtime.GOOS == "darwin"]

// handle is nothing: a thread waits.
type handle struct{}

func (o *order) watchable() {}

func (o *order) unbound() {}

func (p *process) adopt(pid, _ int) { p.pid = pid }

// wait blocks a thread until the child has ended, without reaping it.
func (h *handle) wait(pid int) {
	kq, err := unix.Kqueue()
	if err != nil {
		return
	}
	defer unix.Close(kq)
	unix.CloseOnExec(kq)
	change := make([]unix.Kevent_t, 1)
	unix.SetKevent(&change[0], pid, unix.EVFILT_PROC, unix.EV_ADD|unix.EV_ONESHOT)
	change[0].Fflags = unix.NOTE_EXIT
	events := make([]unix.Kevent_t, 1)
	for {
		// ESRCH: it has ended already.
		if n, err := unix.Kevent(kq, change, events, nil); n > 0 || !errors.Is(err, unix.EINTR) {
			return
		}
	}
}

func (h *handle) signal(syscall.Signal) bool { return false }

func (h *handle) close() {}

func (p *process) stopped() bool { return false }

func spawner() {
	for o := range orders {
		o.spawn()
	}
}

func pin(cpus []int) (restore func(), err error) {
	if len(cpus) > 0 {
		return nil, errors.Join(syscall.ENOSYS, errors.ErrUnsupported)
	}
	return func() {}, nil
}

func executables() []string {
	if path, err := os.Executable(); err == nil {
		return []string{path}
	}
	return nil
}

// enlarge does nothing: the size of a pipe is the system's affair here.
func enlarge(*os.File) {}

func reportPipe() (r, w *os.File, err error) { return os.Pipe() }
