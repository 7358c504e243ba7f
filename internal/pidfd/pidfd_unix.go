//go:build unix && !linux

package pidfd

import (
	"errors"

	"golang.org/x/sys/unix"
)

func identity(pid int) (uint64, error) {
	if err := exists(pid); err != nil {
		return 0, err
	}
	return startTime(pid), nil
}

func check(pid int, id uint64) error {
	if pid <= 0 {
		return ErrGone
	}
	if err := exists(pid); err != nil {
		return err
	}
	if got := startTime(pid); id != 0 && got != 0 && got != id {
		return ErrGone
	}
	return nil
}

func exists(pid int) error {
	if err := unix.Kill(pid, 0); errors.Is(err, unix.ESRCH) {
		return ErrGone
	}
	return nil
}

func watch(pid int, id uint64, died func()) (stop func(), err error) {
	if err := check(pid, id); err != nil {
		return nil, err
	}
	return poll(func() bool { return errors.Is(check(pid, id), ErrGone) }, died, nil), nil
}
