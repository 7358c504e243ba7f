//go:build unix

package child

import (
	"os"
	"strconv"
	"sync"

	"golang.org/x/sys/unix"
)

func parentPID() int { return os.Getppid() }

// inherit makes a file of a descriptor that came from the parent. Pipes, sockets
// and eventfds go to the poller; of terminals and files the mode is left as it
// is, since others share it.
func inherit(n uint64, name string) *os.File {
	fd := int(n)
	unix.CloseOnExec(fd)
	var st unix.Stat_t
	if unix.Fstat(fd, &st) == nil {
		switch st.Mode & unix.S_IFMT {
		case unix.S_IFIFO, unix.S_IFSOCK, 0:
			_ = unix.SetNonblock(fd, true)
		}
	}
	return os.NewFile(uintptr(fd), name)
}

// inheritReport keeps the file out of the poller.
func inheritReport(n uint64) *os.File {
	unix.CloseOnExec(int(n))
	return os.NewFile(uintptr(n), "child report")
}

// neverBlock is for the report, which nobody reads before this process's end: it
// holds for the runtime's duplicate too.
func neverBlock(f *os.File) {
	if raw, err := f.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) { _ = unix.SetNonblock(int(fd), true) })
	}
}

// strays lists the descriptors that this process was given by its own parent
// without being marked, so that they would go on to every child: the pipes of a
// shell or a build, say.
var strays = sync.OnceValue(func() (all []uint64) {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		entries, _ = os.ReadDir("/dev/fd")
	}
	for _, e := range entries {
		fd, err := strconv.Atoi(e.Name())
		if err == nil && fd > 2 && unmarked(fd) {
			all = append(all, uint64(fd))
		}
	}
	return all
})

func unmarked(fd int) bool {
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
	return err == nil && flags&unix.FD_CLOEXEC == 0
}

// closeStrays closes what the parent has listed, from the first number on that
// is not one of its files. What carries a mark, the runtime has opened here.
func closeStrays(all []uint64, first uint64) {
	for _, n := range all {
		if n >= first && unmarked(int(n)) {
			_ = unix.Close(int(n))
		}
	}
}
