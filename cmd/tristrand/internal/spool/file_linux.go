package spool

import (
	"os"

	"golang.org/x/sys/unix"
)

// unlinked returns a file that has no name, so that it is gone with its last
// descriptor even after kill -9.
func unlinked() (*os.File, error) {
	fd, err := unix.Open(os.TempDir(), unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err != nil { // this file system has no O_TMPFILE
		return removed()
	}
	return os.NewFile(uintptr(fd), "spooled output"), nil
}
