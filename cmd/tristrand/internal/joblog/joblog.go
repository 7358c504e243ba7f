// Package joblog keeps the record of finished jobs that lets a run go on where
// it was cut off, in the columns of GNU parallel's --joblog:
//
//	Seq Host Starttime JobRuntime Send Receive Exitval Signal Command
//
// separated by tabs. Each line is appended with one write, so a process that is
// killed at any moment leaves whole lines and at most one torn line at the end;
// Resume drops that one, and its job runs again. A log that cannot be what this
// package or GNU parallel wrote is refused with the number of its line.
package joblog

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"time"
)

const header = "Seq\tHost\tStarttime\tJobRuntime\tSend\tReceive\tExitval\tSignal\tCommand"

// An Entry is the line of one job.
type Entry struct {
	Seq          int
	Start        time.Time
	Runtime      time.Duration
	ReceiveBytes int64 // of standard output
	Exit         int   // -1: the job's time was up
	Signal       int
	Command      string // on one line
}

// A Log is a job log that is open for appending, by this process alone.
type Log struct {
	file *os.File
	line []byte
}

// Create starts a new log in place of what is at path.
func Create(path string) (*Log, error) {
	f, err := open(path)
	if err != nil {
		return nil, err
	}
	l := &Log{file: f}
	if err := f.Truncate(0); err != nil && !errors.Is(err, os.ErrInvalid) {
		// A pipe or a terminal has nothing to truncate.
		if info, e := f.Stat(); e != nil || info.Mode().IsRegular() {
			_ = f.Close()
			return nil, fmt.Errorf("job log: %w", err)
		}
	}
	if err := l.writeHeader(); err != nil {
		_ = f.Close()
		return nil, err
	}
	return l, nil
}

// Resume opens the log at path, reads what is done, and goes on behind it. A
// log that does not exist is an empty one. torn says that the last line was cut
// off and has been dropped.
func Resume(path string) (l *Log, done *Done, torn bool, err error) {
	f, err := open(path)
	if err != nil {
		return nil, nil, false, err
	}
	defer func() {
		if err != nil {
			_ = f.Close()
		}
	}()
	done, whole, size, err := read(f)
	if err != nil {
		return nil, nil, false, fmt.Errorf("job log %s: %w", path, err)
	}
	if torn = whole < size; torn {
		if err := f.Truncate(whole); err != nil {
			return nil, nil, false, fmt.Errorf("job log: drop the torn last line: %w", err)
		}
	}
	l = &Log{file: f}
	if whole == 0 {
		err = l.writeHeader()
	}
	return l, done, torn, err
}

func open(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return nil, fmt.Errorf("job log: %w", err)
	}
	if err := lock(f); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("job log %s: another run is writing it; give this one its own --joblog (%w)", path, err)
	}
	return f, nil
}

func (l *Log) writeHeader() error {
	if _, err := io.WriteString(l.file, header+"\n"); err != nil {
		return fmt.Errorf("job log: %w", err)
	}
	return nil
}

// Add appends a job's line.
func (l *Log) Add(e Entry) error {
	b := strconv.AppendInt(l.line[:0], int64(e.Seq), 10)
	b = append(b, "\t:\t"...)
	b = strconv.AppendFloat(b, float64(e.Start.UnixMilli())/1e3, 'f', 3, 64)
	b = append(b, '\t')
	b = fmt.Appendf(b, "%10.3f", e.Runtime.Seconds())
	b = append(b, "\t0\t"...)
	b = strconv.AppendInt(b, e.ReceiveBytes, 10)
	b = append(b, '\t')
	b = strconv.AppendInt(b, int64(e.Exit), 10)
	b = append(b, '\t')
	b = strconv.AppendInt(b, int64(e.Signal), 10)
	b = append(b, '\t')
	b = append(b, e.Command...)
	b = append(b, '\n')
	l.line = b
	if _, err := l.file.Write(b); err != nil {
		return fmt.Errorf("job log: %w", err)
	}
	return nil
}

// Close closes the log.
func (l *Log) Close() error { return l.file.Close() }
