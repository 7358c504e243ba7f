package pidfd

import (
	"errors"
	"fmt"

	"golang.org/x/sys/windows"
)

// open returns a handle of the living process and the time it was created.
func open(pid int) (windows.Handle, uint64, error) {
	const access = windows.SYNCHRONIZE | windows.PROCESS_QUERY_LIMITED_INFORMATION
	h, err := windows.OpenProcess(access, false, uint32(pid))
	if errors.Is(err, windows.ERROR_INVALID_PARAMETER) {
		return 0, 0, ErrGone
	}
	if err != nil {
		return 0, 0, fmt.Errorf("pidfd: opening process %d: %w", pid, err)
	}
	if ended(h) {
		_ = windows.CloseHandle(h)
		return 0, 0, ErrGone
	}
	var created, exited, kernel, user windows.Filetime
	if err := windows.GetProcessTimes(h, &created, &exited, &kernel, &user); err != nil {
		return h, 0, nil //nolint:nilerr // no identity is no failure
	}
	return h, uint64(created.HighDateTime)<<32 | uint64(created.LowDateTime) | byStart, nil
}

func ended(h windows.Handle) bool {
	ev, err := windows.WaitForSingleObject(h, 0)
	return err == nil && ev == windows.WAIT_OBJECT_0
}

func identity(pid int) (uint64, error) {
	h, id, err := open(pid)
	if err != nil {
		return 0, err
	}
	return id, windows.CloseHandle(h)
}

func check(pid int, id uint64) error {
	if pid <= 0 {
		return ErrGone
	}
	h, got, err := open(pid)
	if err != nil {
		return err
	}
	_ = windows.CloseHandle(h)
	if id != 0 && got != 0 && got != id {
		return ErrGone
	}
	return nil
}

func watch(pid int, id uint64, died func()) (stop func(), err error) {
	h, got, err := open(pid)
	if err != nil {
		return nil, err
	}
	if id != 0 && got != 0 && got != id {
		_ = windows.CloseHandle(h)
		return nil, ErrGone
	}
	// The handle keeps the pid from being given again.
	return poll(func() bool { return ended(h) }, died, func() { _ = windows.CloseHandle(h) }), nil
}
