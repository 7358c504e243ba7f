package segment

import (
	"bytes"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// roomMatters is the size from which on it is worth asking first.
const roomMatters = 16 << 20

// room refuses a size that the machine, or the control group, does not have.
// Without it the system would hand out pages until it has to kill somebody, and
// that would be us. What cannot be read does not limit.
func room(size int) error {
	if size < roomMatters {
		return nil
	}
	if free, ok := available(); ok && size > free {
		return fmt.Errorf("%w: there are %d MiB of memory free", unix.ENOMEM, free>>20)
	}
	for _, g := range [...]struct{ limit, used string }{
		{"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"},
		{"/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"},
	} {
		limit, ok1 := number(g.limit)
		used, ok2 := number(g.used)
		// The files of the group count as used, and could be given up: only
		// what can never fit is refused.
		if ok1 && ok2 && used <= limit && size > limit {
			return fmt.Errorf("%w: the control group may use %d MiB", unix.ENOMEM, limit>>20)
		}
	}
	return nil
}

// available returns what the kernel thinks it could give without swapping.
func available() (int, bool) {
	text, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0, false
	}
	_, rest, ok := bytes.Cut(text, []byte("MemAvailable:"))
	if !ok {
		return 0, false
	}
	fields := bytes.Fields(rest)
	if len(fields) == 0 {
		return 0, false
	}
	kib, err := strconv.Atoi(string(fields[0]))
	return kib << 10, err == nil
}

func number(file string) (int, bool) {
	text, err := os.ReadFile(file)
	if err != nil {
		return 0, false
	}
	n, err := strconv.Atoi(string(bytes.TrimSpace(text))) // "max" and what overflows is no limit
	return n, err == nil
}
