package child

import (
	"errors"
	"os"
	"runtime"

	"github.com/tristrand/tristrand/internal/pidfd"
	"golang.org/x/sys/unix"
)

const rssUnit = 1 << 10

// handle is the child's pidfd, nil without.
type handle struct{ fd *pidfd.Handle }

func (o *order) watchable() {
	o.attr.Sys.PidFD = &o.pidfd
	// The kernel's answer should guardian and parent die together.
	o.attr.Sys.Pdeathsig = unix.SIGKILL
}

// unbound lets the process outlive the thread that starts it.
func (o *order) unbound() { o.attr.Sys.Pdeathsig = 0 }

func (p *process) adopt(pid, fd int) {
	p.pid = pid
	if fd >= 0 {
		p.handle.fd, _ = pidfd.NewHandle(fd) // without it a thread waits
	} else {
		p.handle.fd, _ = pidfd.Open(pid, 0)
	}
}

// wait blocks until the child has ended, without reaping it.
func (h *handle) wait(pid int) {
	if h.fd != nil && h.fd.Wait() == nil {
		return
	}
	for {
		err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			return
		}
	}
}

// signal sends by pidfd, and reports whether that settled it.
func (h *handle) signal(sig unix.Signal) bool {
	if h.fd == nil {
		return false
	}
	err := h.fd.Signal(sig)
	return err == nil || errors.Is(err, pidfd.ErrGone) || errors.Is(err, os.ErrClosed)
}

func (h *handle) close() {
	if h.fd != nil {
		_ = h.fd.Close()
	}
}

func (p *process) stopped() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.reaped {
		return false
	}
	var info unix.Siginfo
	err := unix.Waitid(unix.P_PID, p.pid, &info, unix.WSTOPPED|unix.WNOHANG|unix.WNOWAIT, nil)
	return err == nil && info.Signo == int32(unix.SIGCHLD)
}

func spawner() {
	runtime.LockOSThread()
	for o := range orders {
		o.spawn()
	}
}

// pin binds this thread, and so the child that it starts next, to processors.
func pin(cpus []int) (restore func(), err error) {
	if len(cpus) == 0 {
		return func() {}, nil
	}
	var before, set unix.CPUSet
	for _, cpu := range cpus {
		if set.Set(cpu); cpu < 0 || !set.IsSet(cpu) {
			return nil, unix.EINVAL
		}
	}
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		return nil, err
	}
	if err := unix.SchedSetaffinity(0, &set); err != nil {
		return nil, err
	}
	return func() { _ = unix.SchedSetaffinity(0, &before) }, nil
}

// executables returns where this program's binary may be found, best first.
func executables() []string {
	paths := []string{"/proc/self/exe"}
	if path := started.get(); path != "" {
		paths = append(paths, path)
	}
	if path, err := os.Executable(); err == nil {
		paths = append(paths, path)
	}
	return paths
}

// enlarge makes room for 256 Ki records in the guardian's pipe.
func enlarge(w *os.File) {
	raw, err := w.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) { _, _ = unix.FcntlInt(fd, unix.F_SETPIPE_SZ, 1<<20) })
}

// reportPipe is a pipe whose reading end is not in the poller, so that the child
// does not wake this process when it enters.
func reportPipe() (r, w *os.File, err error) {
	var fd [2]int
	if err := unix.Pipe2(fd[:], unix.O_CLOEXEC); err != nil {
		return nil, nil, err
	}
	r, w = os.NewFile(uintptr(fd[0]), "report"), os.NewFile(uintptr(fd[1]), "report")
	if err := unix.SetNonblock(fd[0], true); err != nil {
		_, _ = r.Close(), w.Close()
		return nil, nil, err
	}
	return r, w, nil
}
