package joblog

import (
	"os"

	"golang.org/x/sys/windows"
)

// lock keeps a second run from writing the same log. It goes with the process.
func lock(f *os.File) error {
	return windows.LockFileEx(windows.Handle(f.Fd()),
		windows.LOCKFILE_EXCLUSIVE_LOCK|windows.LOCKFILE_FAIL_IMMEDIATELY, 0, 1, 0, new(windows.Overlapped))
}
