package rows

import (
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"syscall"
	"unsafe"
)

const hasLoop = true

// loopServe is echo with nothing around it: one thread, and two system calls for each
// request, which the Go runtime does not see, beside one epoll_wait for many. What it
// takes is what the kernel takes.
func loopServe(w io.Writer) error {
	runtime.LockOSThread()
	l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return err
	}
	f, err := l.File()
	if err != nil {
		return err
	}
	epoll, err := syscall.EpollCreate1(0)
	if err != nil {
		return err
	}
	listening := int(f.Fd())
	if err := watch(epoll, listening); err != nil {
		return err
	}
	fmt.Fprintln(w, l.Addr())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	var events [256]syscall.EpollEvent
	var buf [serveBufferBytes]byte
	for {
		n, err := syscall.EpollWait(epoll, events[:], -1)
		if err != nil && err != syscall.EINTR { //nolint:errorlint // from a system call
			return err
		}
		for _, e := range events[:max(n, 0)] {
			fd := int(e.Fd)
			if fd == listening {
				if fd, _, err = syscall.Accept4(fd, syscall.SOCK_NONBLOCK); err == nil {
					_ = syscall.SetsockoptInt(fd, syscall.IPPROTO_TCP, syscall.TCP_NODELAY, 1)
					err = watch(epoll, fd)
				}
				if err != nil {
					return err
				}
				continue
			}
			got, _, e := syscall.RawSyscall(syscall.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(&buf)), serveBufferBytes)
			if e != 0 || got == 0 {
				_ = syscall.Close(fd)
				continue
			}
			_, _, _ = syscall.RawSyscall(syscall.SYS_WRITE, uintptr(fd), uintptr(unsafe.Pointer(&buf)), got)
		}
	}
}

func watch(epoll, fd int) error {
	return syscall.EpollCtl(epoll, syscall.EPOLL_CTL_ADD, fd, &syscall.EpollEvent{Events: syscall.EPOLLIN, Fd: int32(fd)})
}
