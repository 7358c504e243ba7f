package launch

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// attributes of every child. The signal is tied to the thread that forked, and
// threads of this program end only with it.
var attributes = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}

func pipe(p *[2]int) error { return unix.Pipe2(p[:], unix.O_CLOEXEC) }

// reap waits for the end of the child and then takes its status, so that its
// pid stays ours, to be signalled, until nobody signals it any more.
func (p *process) reap() (syscall.WaitStatus, error) {
	for {
		err := unix.Waitid(unix.P_PID, p.pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if err == nil {
			break
		}
		if err != unix.EINTR {
			return 0, err
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.reaped = true
	if p.stopping {
		p.signal(syscall.SIGKILL)
	}
	return p.wait4()
}

// exited reports whether a child that is not reaped has ended.
func exited(pid int) bool {
	var info unix.Siginfo
	err := unix.Waitid(unix.P_PID, pid, &info, unix.WEXITED|unix.WNOWAIT|unix.WNOHANG, nil)
	return err == nil && info.Signo != 0
}
