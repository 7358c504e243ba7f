package cluster

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// A storeLock keeps a second server from a store directory: NATS itself would start both
// and say that all is well. The system releases it with the process.
type storeLock struct{ f *os.File }

func lockStore(dir string) (*storeLock, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("cluster: the store directory %s: %w: make it, or set Options.Dir", dir, err)
	}
	name := filepath.Join(dir, "tristrand.lock")
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("cluster: the store directory %s: %w", dir, err)
	}
	if err := tryLock(f); err != nil {
		defer f.Close()
		text, _ := os.ReadFile(name)
		pid, _ := strconv.Atoi(strings.TrimSpace(string(text)))
		return nil, &inUseError{dir, pid, err}
	}
	if err := f.Truncate(0); err == nil {
		_, _ = f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0) // for who is refused
	}
	return &storeLock{f}, nil
}

func (l *storeLock) release() {
	if l != nil {
		_ = l.f.Close()
	}
}

// An inUseError says that another server has the store directory.
type inUseError struct {
	dir string
	pid int
	err error
}

func (e *inUseError) Error() string {
	who := "another process"
	switch e.pid {
	case 0:
	case os.Getpid():
		who = "this process"
	case os.Getppid():
		return fmt.Sprintf("cluster: the store directory %s is in use by process %d, the parent of this one: "+
			"a program with worker processes calls process.Main or process.Init before cluster.Open, or else each worker opens the store again", e.dir, e.pid)
	default:
		who = fmt.Sprintf("process %d", e.pid)
	}
	return fmt.Sprintf("cluster: the store directory %s is in use by %s: connect to its server, or set another Options.Dir", e.dir, who)
}

func (e *inUseError) Unwrap() error { return e.err }
