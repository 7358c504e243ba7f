package pidfd

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// IsPidfd reports whether the descriptor is a pidfd, as far as this kernel can
// tell (6.9 and later); check with it what another process has sent.
func IsPidfd(fd int) bool {
	var fs unix.Statfs_t
	return unix.Fstatfs(fd, &fs) == nil && fs.Type == unix.PID_FS_MAGIC
}

func identity(pid int) (uint64, error) {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		if err := openError(pid, err); !errors.Is(err, errors.ErrUnsupported) {
			return 0, err
		}
		return startTime(pid)
	}
	defer unix.Close(fd)
	id, ok := inode(fd)
	if !ok {
		if id, err = startTime(pid); err != nil {
			return 0, err
		}
	}
	if ended(fd) {
		return 0, ErrGone
	}
	return id, nil
}

// fits says whether the pidfd, opened by pid, is the living process with the id.
func fits(fd, pid int, id uint64) error {
	switch {
	case id == 0:
	case id&byStart != 0:
		if got, err := startTime(pid); err != nil || got != 0 && got != id {
			return ErrGone
		}
	default:
		if got, ok := inode(fd); ok && got != id {
			return ErrGone
		}
	}
	// Last, so that what was read by pid was read of this very process.
	if ended(fd) {
		return ErrGone
	}
	return nil
}

// inode returns the inode number of a pidfd where that is a process's own.
func inode(fd int) (uint64, bool) {
	if strconv.IntSize != 64 || !IsPidfd(fd) { // of 32 bits they wrap around
		return 0, false
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil || st.Ino == 0 || st.Ino&byStart != 0 {
		return 0, false
	}
	return st.Ino, true
}

// startTime returns the start of a process in clock ticks since the machine's,
// marked as such: 0 without /proc, ErrGone if /proc has no such process or
// knows it for dead.
func startTime(pid int) (uint64, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		if _, err := os.Stat("/proc/self/stat"); err == nil {
			return 0, ErrGone
		}
		return 0, nil
	}
	// The name stands in parentheses and may hold anything, parentheses too.
	f := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(f) < 20 {
		return 0, nil
	}
	if state := f[0][0]; state == 'Z' || state == 'X' {
		return 0, ErrGone
	}
	ticks, err := strconv.ParseUint(string(f[19]), 10, 63)
	if err != nil {
		return 0, nil //nolint:nilerr // no identity is no failure
	}
	return ticks | byStart, nil
}

// check says whether the process is there: nil, ErrGone, or why that cannot be
// found out.
func check(pid int, id uint64) error {
	if pid <= 0 {
		return ErrGone
	}
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		if err := openError(pid, err); !errors.Is(err, errors.ErrUnsupported) {
			return err
		}
		return checkByPID(pid, id)
	}
	defer unix.Close(fd)
	return fits(fd, pid, id)
}

// checkByPID is check without pidfds.
func checkByPID(pid int, id uint64) error {
	if err := unix.Kill(pid, 0); errors.Is(err, unix.ESRCH) {
		return ErrGone
	}
	got, err := startTime(pid)
	if err != nil || id&byStart != 0 && got != 0 && got != id {
		return ErrGone
	}
	return nil
}

func watch(pid int, id uint64, died func()) (stop func(), err error) {
	h, err := Open(pid, id)
	if errors.Is(err, errors.ErrUnsupported) {
		if err := checkByPID(pid, id); err != nil {
			return nil, err
		}
		return poll(func() bool { return checkByPID(pid, id) != nil }, died, nil), nil
	}
	if err != nil {
		return nil, err
	}
	var o once
	go func() {
		err := h.Wait()
		_ = h.Close()
		if err == nil && o.first() {
			died()
		}
	}()
	return func() {
		if o.first() {
			_ = h.Close()
		}
	}, nil
}
