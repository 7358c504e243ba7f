//go:build unix

package child

import (
	"errors"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// process is how the parent holds a child: by pid, which is the child's until
// it is reaped, and by pidfd where there are any.
type process struct {
	mu     sync.Mutex
	reaped bool
	pid    int
	handle handle
}

func (p *process) signal(sig syscall.Signal) error {
	if p.handle.signal(sig) {
		return nil
	}
	return p.kill(p.pid, sig)
}

func (p *process) killGroup() error {
	return p.kill(-p.pid, syscall.SIGKILL)
}

// kill sends by number, which cannot be another's while the mutex is held and
// the child is not reaped.
func (p *process) kill(whom int, sig syscall.Signal) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.reaped {
		return nil
	}
	if err := unix.Kill(whom, sig); err != nil && !errors.Is(err, unix.ESRCH) {
		return err
	}
	return nil
}

// reap waits for the child's end, kills what is left of its group, calls ended,
// and takes the status. Only then can the number be given again.
func (p *process) reap(e *Exit, ended func()) {
	p.handle.wait(p.pid)
	_ = p.killGroup()
	ended()
	p.mu.Lock()
	reapByPID(p.pid, e)
	p.reaped = true
	p.mu.Unlock()
	p.handle.close()
}

func (e *Exit) usage(u *unix.Rusage) {
	e.User = time.Duration(u.Utime.Nano())
	e.System = time.Duration(u.Stime.Nano())
	e.MaxRSSBytes = int64(u.Maxrss) * rssUnit //nolint:unconvert // 32 bits on some systems
}
