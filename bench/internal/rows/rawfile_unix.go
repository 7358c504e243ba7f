//go:build unix

package rows

import (
	"io"
	"net"
	"os"
	"syscall"
)

// A rawFile reads and writes by system calls that block their thread.
type rawFile uintptr

func (f rawFile) Read(b []byte) (int, error) {
	n, err := syscall.Read(int(f), b)
	if n == 0 && err == nil {
		err = io.EOF
	}
	return max(n, 0), err
}

func (f rawFile) Write(b []byte) (int, error) { return syscall.Write(int(f), b) }

// blocking takes a connection out of the netpoller.
func blocking(c *net.UnixConn) (*os.File, error) {
	f, err := c.File()
	if err != nil {
		return nil, err
	}
	return f, syscall.SetNonblock(int(f.Fd()), false)
}
