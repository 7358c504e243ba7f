package measure

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// PeakOf says what Cost.Peak is on this platform.
const PeakOf = "resident memory of the process and its children; of those that run the same program, what is not shared"

// resetPeak makes the kernel forget the process's highest resident size
// (proc(5), clear_refs, value 5). Where /proc is read-only it stays, and Peak
// is then the highest since the process began.
func resetPeak() {
	_ = os.WriteFile("/proc/self/clear_refs", []byte("5"), 0)
}

// peakSinceReset is the kernel's own high-water mark of this process, which
// misses nothing between two looks, but knows nothing of children.
func peakSinceReset() int64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	_, rest, ok := bytes.Cut(status, []byte("\nVmHWM:"))
	if !ok {
		return 0
	}
	line, _, _ := bytes.Cut(rest, []byte("\n"))
	fields := strings.Fields(string(line)) // "12345 kB"
	if len(fields) == 0 {
		return 0
	}
	kb, _ := strconv.ParseInt(fields[0], 10, 64)
	return kb << 10
}

// memoryNow adds up the resident sizes of this process and all below it. Worker
// processes share their program with this one, whose pages count once; a page that two
// other programs share counts twice.
func memoryNow() int64 {
	sum, _ := resident("self")
	own, _ := os.Readlink("/proc/self/exe")
	for _, pid := range children("self", nil) {
		all, shared := resident(pid)
		if program, err := os.Readlink("/proc/" + pid + "/exe"); err == nil && program == own {
			all -= shared
		}
		sum += all
	}
	return sum
}

// resident reads the resident size of a process, and how much of it is of files and
// shared memory; 0 when it is gone.
func resident(pid string) (all, shared int64) {
	statm, err := os.ReadFile("/proc/" + pid + "/statm")
	if err != nil {
		return 0, 0
	}
	fields := strings.Fields(string(statm))
	if len(fields) < 3 {
		return 0, 0
	}
	all, _ = strconv.ParseInt(fields[1], 10, 64)
	shared, _ = strconv.ParseInt(fields[2], 10, 64)
	page := int64(os.Getpagesize())
	return all * page, shared * page
}

// children appends all processes below pid. Each thread lists those that it
// started itself.
func children(pid string, found []string) []string {
	lists, _ := filepath.Glob("/proc/" + pid + "/task/*/children")
	for _, list := range lists {
		content, err := os.ReadFile(list)
		if err != nil {
			continue
		}
		for child := range strings.FieldsSeq(string(content)) {
			found = children(child, append(found, child))
		}
	}
	return found
}
