//go:build unix

package cluster

import (
	"os"

	"golang.org/x/sys/unix"
)

// tryLock takes the lock of the open file, which a child does not inherit beyond exec.
func tryLock(f *os.File) error {
	for {
		if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != unix.EINTR {
			return err
		}
	}
}
