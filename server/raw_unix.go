//go:build unix

package server

import (
	"errors"
	"syscall"
)

// canReadRaw says that a descriptor can be read in the callback of a RawConn.
const canReadRaw = true

func readRaw(fd uintptr, p []byte) (int, error) {
	for {
		n, err := syscall.Read(int(fd), p)
		if errors.Is(err, syscall.EINTR) {
			continue
		}
		return max(n, 0), err
	}
}
