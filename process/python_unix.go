//go:build unix

package process

import "golang.org/x/sys/unix"

// writeWhole writes b, which is short, to a pipe that does not block: whole or not at
// all.
func writeWhole(fd uintptr, b []byte) bool {
	n, err := unix.Write(int(fd), b)
	return n == len(b) && err == nil
}
