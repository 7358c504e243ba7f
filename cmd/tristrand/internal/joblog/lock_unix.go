//go:build unix

package joblog

import (
	"os"

	"golang.org/x/sys/unix"
)

// lock keeps a second run from writing the same log. It goes with the process.
func lock(f *os.File) error {
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return err // /dev/stderr and the like have no lines to mix up
	}
	return unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
}
