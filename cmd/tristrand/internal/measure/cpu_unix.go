//go:build unix

package measure

import (
	"time"

	"golang.org/x/sys/unix"
)

// cpuTime is the user and system time of this process and of the children
// that it has waited for.
func cpuTime() time.Duration {
	var sum time.Duration
	for _, who := range []int{unix.RUSAGE_SELF, unix.RUSAGE_CHILDREN} {
		var u unix.Rusage
		if unix.Getrusage(who, &u) == nil {
			sum += time.Duration(u.Utime.Nano() + u.Stime.Nano())
		}
	}
	return sum
}
