package child

import (
	"bytes"
	"os"
	"path"
	"strconv"
	"strings"
	"sync"
)

// oomCount watches how many processes the kernel has killed for lack of memory
// in this process's cgroup, or on the machine where that is all it tells.
type oomCount struct {
	mu    sync.Mutex
	files []string // nil: not looked for yet; the first that can be read counts
	seen  int64
}

var memory oomCount

// begin notes the count before the first child could be killed.
func (o *oomCount) begin() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.files == nil {
		o.files = oomFiles()
		o.seen = o.read()
	}
}

// killed reports whether there is a kill that no other child has been given.
func (o *oomCount) killed() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if now := o.read(); o.seen < 0 || now <= o.seen {
		return false
	}
	o.seen++
	return true
}

func (o *oomCount) read() int64 {
	for _, file := range o.files {
		text, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		if n, ok := oomKills(text); ok {
			return n
		}
	}
	return -1
}

// oomKills finds "oom_kill N", which memory.events (v2), memory.oom_control (v1)
// and /proc/vmstat all have.
func oomKills(text []byte) (int64, bool) {
	for line := range bytes.Lines(text) {
		if f := bytes.Fields(line); len(f) == 2 && string(f[0]) == "oom_kill" {
			n, err := strconv.ParseInt(string(f[1]), 10, 64)
			return n, err == nil
		}
	}
	return 0, false
}

func oomFiles() []string {
	const root = "/sys/fs/cgroup"
	var files []string
	groups, _ := os.ReadFile("/proc/self/cgroup")
	for line := range strings.Lines(string(groups)) {
		f := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(f) != 3 {
			continue
		}
		switch {
		case f[0] == "0":
			files = append(files, path.Join(root, f[2], "memory.events"), path.Join(root, "unified", f[2], "memory.events"))
		case strings.Contains(","+f[1]+",", ",memory,"):
			// In a container the path may be the host's, and the mount its root.
			files = append(files, path.Join(root, "memory", f[2], "memory.oom_control"), path.Join(root, "memory", "memory.oom_control"))
		}
	}
	return append(files, "/proc/vmstat")
}
