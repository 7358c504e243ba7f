package pidfd

import (
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Handle is a pidfd in the runtime's poller. Its methods may be called from
// several goroutines at once, also while Close runs.
type Handle struct {
	file   *os.File
	raw    syscall.RawConn
	closed atomic.Bool
}

// NewHandle takes over a pidfd, which must have come from the kernel as one:
// from a clone, from pidfd_open, or received and checked with [IsPidfd].
func NewHandle(fd int) (*Handle, error) {
	// The poller takes descriptors that do not block only.
	if err := unix.SetNonblock(fd, true); err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("pidfd: descriptor %d: %w", fd, err)
	}
	file := os.NewFile(uintptr(fd), "pidfd")
	raw, err := file.SyscallConn()
	if err != nil {
		_ = file.Close()
		return nil, fmt.Errorf("pidfd: descriptor %d: %w", fd, err)
	}
	return &Handle{file: file, raw: raw}, nil
}

// Open returns a handle of the process that has the pid, ErrGone if it has
// ended or has another id than that given (0 fits any), and an error that is
// [errors.ErrUnsupported] where the kernel, or a sandbox, has no pidfds.
func Open(pid int, id uint64) (*Handle, error) {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return nil, openError(pid, err)
	}
	if err := fits(fd, pid, id); err != nil {
		_ = unix.Close(fd)
		return nil, err
	}
	return NewHandle(fd)
}

func openError(pid int, err error) error {
	switch {
	// EINVAL: the pid is a thread's now.
	case errors.Is(err, unix.ESRCH), errors.Is(err, unix.EINVAL):
		return ErrGone
	// Sandboxes answer EPERM for what they do not know.
	case errors.Is(err, unix.ENOSYS), errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		return fmt.Errorf("pidfd: no pidfd_open here (%w): %w", err, errors.ErrUnsupported)
	}
	return fmt.Errorf("pidfd: opening process %d: %w", pid, err)
}

// Wait blocks until the process has ended, and returns nil, or until Close, and
// returns an error that is [os.ErrClosed]. It reaps nothing.
func (h *Handle) Wait() error {
	err := h.raw.Read(func(fd uintptr) bool { return ended(int(fd)) })
	for err != nil {
		if h.closed.Load() {
			return os.ErrClosed
		}
		// The poller did not take the descriptor.
		time.Sleep(PollInterval)
		over := false
		if err = h.Control(func(fd int) { over = ended(fd) }); err == nil && !over {
			err = errors.ErrUnsupported
		}
	}
	return nil
}

// Ended reports whether the process has ended, reaped or not. A closed handle
// says no.
func (h *Handle) Ended() (over bool) {
	_ = h.Control(func(fd int) { over = ended(fd) })
	return over
}

// Signal sends the signal to the process alone: ErrGone if it has been reaped,
// [errors.ErrUnsupported] where the call is missing.
func (h *Handle) Signal(sig syscall.Signal) error {
	var err error
	if cerr := h.Control(func(fd int) { err = unix.PidfdSendSignal(fd, sig, nil, 0) }); cerr != nil {
		return cerr
	}
	switch {
	case errors.Is(err, unix.ESRCH):
		return ErrGone
	case errors.Is(err, unix.ENOSYS):
		return fmt.Errorf("pidfd: no pidfd_send_signal here: %w", errors.ErrUnsupported)
	}
	return err
}

// Control calls fn with the descriptor, which stays open until fn returns.
func (h *Handle) Control(fn func(fd int)) error {
	if err := h.raw.Control(func(fd uintptr) { fn(int(fd)) }); err != nil {
		return os.ErrClosed // nothing else fails there
	}
	return nil
}

// Close ends a Wait and gives the descriptor back.
func (h *Handle) Close() error {
	h.closed.Store(true)
	return h.file.Close()
}

// ended asks without waiting. What cannot be asked counts as alive.
func ended(fd int) bool {
	p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}} //nolint:gosec // descriptors are small
	for {
		n, err := unix.Poll(p, 0)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		return err == nil && n == 1 && p[0].Revents&(unix.POLLIN|unix.POLLHUP) != 0
	}
}
