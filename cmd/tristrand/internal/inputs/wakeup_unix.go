//go:build unix

package inputs

import (
	"context"
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// A wakeup ends a wait for input when a ctx ends: a read of a terminal or a
// pipe cannot be called back, so nothing is read before something is there.
type wakeup struct {
	made bool
	r, w int
}

// ready waits until a read of f would not block.
func (u *wakeup) ready(ctx context.Context, f *os.File) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if !u.made {
		var p [2]int
		syscall.ForkLock.RLock() // no child may be made before the ends are marked
		err := unix.Pipe(p[:])
		if err == nil {
			unix.CloseOnExec(p[0])
			unix.CloseOnExec(p[1])
		}
		syscall.ForkLock.RUnlock()
		if err != nil {
			return fmt.Errorf("wait for input: %w", err)
		}
		u.r, u.w, u.made = p[0], p[1], true
	}
	woken := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		_, _ = unix.Write(u.w, []byte{0}) // an empty pipe of ours has room
		close(woken)
	})
	defer func() {
		if !stop() {
			<-woken
		}
	}()
	fds := []unix.PollFd{{Fd: int32(f.Fd()), Events: unix.POLLIN}, {Fd: int32(u.r), Events: unix.POLLIN}}
	for {
		_, err := unix.Poll(fds, -1)
		switch {
		case err == unix.EINTR:
		case err != nil:
			return fmt.Errorf("wait for input: %w", err)
		case fds[1].Revents != 0:
			return context.Cause(ctx)
		default: // data, the end, or an error that the read will tell
			return nil
		}
	}
}

func (u *wakeup) close() {
	if u.made {
		u.made = false
		_ = unix.Close(u.r)
		_ = unix.Close(u.w)
	}
}
