package joblog

import (
	"bufio"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"os"
	"strconv"
	"strings"
)

// Done is what a log says was done. The zero value has nothing.
type Done struct {
	jobs map[int]record
	seed maphash.Seed
}

// A record is what is kept of a line: a hash stands for the command, so that
// the logs of millions of jobs fit in memory.
type record struct {
	command uint64
	line    int32
	failed  bool
}

// Len returns the number of jobs.
func (d *Done) Len() int { return len(d.jobs) }

// A MismatchError says that a log belongs to another command or other inputs.
type MismatchError struct {
	Line, Seq int
	Command   string // that the job of this number has now
}

func (e *MismatchError) Error() string {
	return fmt.Sprintf("the job log is of another run: its line %d has job %d with another command than \"%.200s\"; "+
		"resume with the same command and inputs, or leave --resume out to start a new log", e.Line, e.Seq, e.Command)
}

// Find returns whether job seq is in the log and whether it failed. Its command
// must be the one that was logged: otherwise the error is a *MismatchError.
func (d *Done) Find(seq int, command string) (done, failed bool, err error) {
	r, ok := d.jobs[seq]
	if !ok {
		return false, false, nil
	}
	if r.command != maphash.String(d.seed, command) {
		return false, false, &MismatchError{int(r.line), seq, command}
	}
	return true, r.failed, nil
}

// read reads a log. whole is where its last complete line ends.
func read(f *os.File) (done *Done, whole, size int64, err error) {
	done = &Done{jobs: make(map[int]record), seed: maphash.MakeSeed()}
	in := bufio.NewReaderSize(f, 1<<16)
	for line := 1; ; line++ {
		text, err := in.ReadString('\n')
		size += int64(len(text))
		if errors.Is(err, io.EOF) {
			return done, whole, size, tornHeader(text, line)
		}
		if err != nil {
			return nil, 0, 0, err
		}
		whole = size
		text = strings.TrimSuffix(text, "\n")
		if line == 1 {
			if text != header {
				return nil, 0, 0, fmt.Errorf("line 1 is not the heading of a job log but %.60q; name another file", text)
			}
			continue
		}
		if err := done.add(text, line); err != nil {
			return nil, 0, 0, fmt.Errorf("line %d: %w; remove the line to run that job again", line, err)
		}
	}
}

// tornHeader refuses a file of one unfinished line that no log begins with.
func tornHeader(text string, line int) error {
	if line == 1 && !strings.HasPrefix(header+"\n", text) {
		return fmt.Errorf("line 1 is not the heading of a job log but %.60q; name another file", text)
	}
	return nil
}

func (d *Done) add(text string, line int) error {
	fields := strings.SplitN(text, "\t", 9)
	if len(fields) < 9 {
		return fmt.Errorf("has %d of 9 columns: %.60q", len(fields), text)
	}
	seq, err := strconv.Atoi(fields[0])
	if err != nil || seq < 1 {
		return fmt.Errorf("column Seq is %.20q, not a number from 1", fields[0])
	}
	for _, i := range []int{2, 3} {
		if _, err := strconv.ParseFloat(strings.TrimSpace(fields[i]), 64); err != nil {
			return fmt.Errorf("column %s is %.20q, not a number", strings.Split(header, "\t")[i], fields[i])
		}
	}
	var status [2]int
	for i := range status {
		if status[i], err = strconv.Atoi(fields[6+i]); err != nil {
			return fmt.Errorf("column %s is %.20q, not a number", strings.Split(header, "\t")[6+i], fields[6+i])
		}
	}
	d.jobs[seq] = record{
		command: maphash.String(d.seed, fields[8]),
		line:    int32(line),
		failed:  status[0] != 0 || status[1] != 0,
	}
	return nil
}
