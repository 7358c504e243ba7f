package measure

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// queuedTime is for how long this process's threads could have run and had no
// processor; 0 where the kernel does not say.
func queuedTime() time.Duration {
	files, _ := filepath.Glob("/proc/self/task/*/schedstat")
	var sum time.Duration
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			continue // the thread has ended
		}
		if fields := bytes.Fields(text); len(fields) > 1 { // on a processor, waiting for one, turns
			n, _ := strconv.ParseInt(string(fields[1]), 10, 64)
			sum += time.Duration(n)
		}
	}
	return sum
}
