//go:build unix

package rows

import (
	"os"
	"syscall"
)

// faults returns the minor page faults of an ended process and of the children
// that it has waited for.
func faults(p *os.ProcessState) int64 {
	usage, ok := p.SysUsage().(*syscall.Rusage)
	if !ok {
		return 0
	}
	return int64(usage.Minflt) //nolint:unconvert // it is int32 on some
}
