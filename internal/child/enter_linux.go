package child

import (
	"os"
	"path/filepath"
	"unsafe"

	"golang.org/x/sys/unix"
)

// limitData bounds what the process allocates, not the addresses that it
// reserves: RLIMIT_AS would end a Go program at once.
func limitData(bytes int64) error {
	if raceEnabled {
		return nil // the race detector's own memory is beyond any such bound
	}
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_DATA, &limit); err != nil {
		return err
	}
	limit.Cur = min(uint64(bytes), limit.Max)
	return unix.Setrlimit(unix.RLIMIT_DATA, &limit)
}

// nameProcess gives the process the name that pgrep and top look for; executing
// /proc/self/exe has made it "exe".
func nameProcess() {
	if unix.Gettid() == os.Getpid() { // as a rule, in main
		var name [16]byte
		copy(name[:15], filepath.Base(os.Args[0]))
		_ = unix.Prctl(unix.PR_SET_NAME, uintptr(unsafe.Pointer(&name)), 0, 0, 0)
		return
	}
	_ = os.WriteFile("/proc/self/comm", []byte(filepath.Base(os.Args[0])), 0)
}
