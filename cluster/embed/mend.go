package embed

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// A stream whose write has failed takes no more until its server is started again, also
// when there is room on the disk: so that is done as soon as there is.

// How long between looks whether the disk can be written, and between starts.
const (
	mendSoon  = 200 * time.Millisecond
	mendLate  = 30 * time.Second
	mendCalm  = time.Minute // without a fault, after which the next start is soon again
	mendStart = 30 * time.Second
)

// faults are what a log says when the disk did not take what was written.
var faults = []string{
	"no space left", "disk quota exceeded", "file too large", "not enough space on the disk", "input/output error",
	"failed to store a msg", "will be DISABLED",
}

func isFault(line string) bool {
	for _, f := range faults {
		if strings.Contains(line, f) {
			return true
		}
	}
	return false
}

// nurse starts the server again after faults of its disk, when that can be written.
func (x *instance) nurse() {
	defer close(x.ended)
	pause, last := mendSoon, time.Time{}
	for {
		select {
		case <-x.stop:
			return
		case <-x.log.ill:
		}
		if time.Since(last) > mendCalm {
			pause = mendSoon
		}
		for ok := false; !ok; {
			select {
			case <-x.stop:
				return
			case <-time.After(pause):
			}
			if x.probe() != nil {
				continue
			}
			pause, last = min(2*pause, mendLate), time.Now()
			ok = x.again() == nil
		}
	}
}

// probeBytes is how much must fit on the disk for a new start.
const probeBytes = 1 << 20

// probe tries whether the disk can be written.
func (x *instance) probe() error {
	f, err := os.CreateTemp(x.dir, "tristrand-probe-")
	if err != nil {
		return err
	}
	_, err = f.Write(make([]byte, probeBytes))
	return errors.Join(err, f.Sync(), f.Close(), os.Remove(f.Name()))
}

// again ends the server and starts another on the same store.
func (x *instance) again() error {
	s := x.current()
	s.Shutdown()
	s.WaitForShutdown()
	x.log.recover()
	return x.run(context.Background(), mendStart)
}

// sweepProbes removes what a process left that was killed while it tried the disk.
func sweepProbes(dir string) {
	left, _ := filepath.Glob(filepath.Join(dir, "tristrand-probe-*"))
	for _, name := range left {
		_ = os.Remove(name)
	}
}
