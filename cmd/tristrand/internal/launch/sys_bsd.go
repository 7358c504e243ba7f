//go:build unix && !linux

package launch

import (
	"syscall"

	"golang.org/x/sys/unix"
)

var attributes = &syscall.SysProcAttr{Setpgid: true}

func pipe(p *[2]int) error {
	syscall.ForkLock.RLock() // no child may be made before the ends are marked
	defer syscall.ForkLock.RUnlock()
	if err := unix.Pipe(p[:]); err != nil {
		return err
	}
	unix.CloseOnExec(p[0])
	unix.CloseOnExec(p[1])
	return nil
}

// reap waits for the end of the child and takes its status. There is no portable
// call to wait without reaping: a signal sent in the microseconds after it could
// reach a new process if the system gave the same pid out again at once, which
// none of these does.
func (p *process) reap() (syscall.WaitStatus, error) {
	status, err := p.wait4()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.reaped = true
	if p.stopping {
		p.signal(syscall.SIGKILL)
	}
	return status, err
}

// exited is not known before the child is reaped.
func exited(int) bool { return false }
