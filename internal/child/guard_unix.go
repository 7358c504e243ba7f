//go:build unix

package child

import (
	"encoding/binary"
	"errors"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// guard is the guardian: it returns when its parent has ended and all groups
// that it was told of are killed. It sleeps until the parent's end of the pipe
// closes, and does not wake up for each record: a parent that starts many
// children would share its processors with it. Only to make room in the pipe it
// is prodded, by the second file.
func guard(files, strays []uint64) {
	// What is meant for the parent, by name or by terminal, must not end it.
	signal.Ignore(syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGPIPE, syscall.SIGTSTP)
	if len(files) != 2 {
		return
	}
	records, prods := int(files[0]), int(files[1])
	closeStrays(strays, files[1]+1)
	for _, fd := range []int{records, prods} {
		if err := unix.SetNonblock(fd, true); err != nil {
			return
		}
	}
	g := guardian{groups: map[int]struct{}{}}
	for !g.read(records) {
		wait := []unix.PollFd{
			{Fd: int32(records)}, // no events: its end alone
			{Fd: int32(prods), Events: unix.POLLIN},
		}
		if _, err := unix.Poll(wait, -1); err != nil && !errors.Is(err, unix.EINTR) {
			time.Sleep(guardianPoll)
		}
		var prod [64]byte
		_, _ = unix.Read(prods, prod[:])
	}
	g.kill()
}

// guardianPoll is how often a guardian looks that cannot wait.
const guardianPoll = 100 * time.Millisecond

type guardian struct {
	groups map[int]struct{}
	buf    [4096]byte
	have   int // bytes of a record that is not complete
}

// read takes in the records that there are, and reports whether they are the last.
func (g *guardian) read(fd int) (last bool) {
	for {
		n, err := unix.Read(fd, g.buf[g.have:])
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EAGAIN):
			return false
		case err != nil || n == 0:
			return true
		}
		g.have += n
		at := 0
		for ; g.have-at >= recordBytes; at += recordBytes {
			record := int32(binary.LittleEndian.Uint32(g.buf[at:])) //nolint:gosec // the bits are meant
			switch {
			case record > 1: // -1 would be everybody
				g.groups[int(record)] = struct{}{}
			case record < -1:
				delete(g.groups, -int(record))
			}
		}
		g.have = copy(g.buf[:], g.buf[at:g.have])
	}
}

// kill kills all groups until none is there.
func (g *guardian) kill() {
	end := time.Now().Add(guardianKills)
	for pause := time.Millisecond; ; pause = min(2*pause, guardianPoll) {
		for group := range g.groups {
			if err := unix.Kill(-group, unix.SIGKILL); errors.Is(err, unix.ESRCH) {
				delete(g.groups, group)
			}
		}
		if len(g.groups) == 0 || time.Now().After(end) {
			return
		}
		time.Sleep(pause) // zombies count until init has reaped them
	}
}
