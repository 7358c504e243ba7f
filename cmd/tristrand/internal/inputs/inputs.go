// Package inputs reads what jobs are run for: the arguments after :::, or the
// lines of a file, each as it stands, with spaces, quotes and bytes that are no
// UTF-8. A file is read as it comes: a line is handed over as soon as it is
// there, and no more than a few of them are in memory.
package inputs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
)

// MaxBytes is the longest input. No system passes a longer argument.
const MaxBytes = 2 << 20

// A Source hands out inputs one after another, to one goroutine at a time.
type Source interface {
	// Next waits for the next input. It returns io.EOF after the last one, and
	// ctx's error once ctx has ended.
	Next(ctx context.Context) (string, error)
	// Total returns how many there are altogether, and false if that is not
	// known yet.
	Total() (int, bool)
	// Close gives back what Next needed. The file stays open.
	Close()
}

// Args hands out arguments.
func Args(args []string) Source { return &list{all: args} }

type list struct {
	all  []string
	next int
}

func (l *list) Next(ctx context.Context) (string, error) {
	if err := ctx.Err(); err != nil {
		return "", err
	}
	if l.next == len(l.all) {
		return "", io.EOF
	}
	l.next++
	return l.all[l.next-1], nil
}

func (l *list) Total() (int, bool) { return len(l.all), true }

func (l *list) Close() {}

// Lines hands out what is between separators in f: lines for '\n', any bytes
// for 0. name is for errors.
func Lines(f *os.File, name string, separator byte) Source {
	return &lines{file: f, name: name, separator: separator}
}

type lines struct {
	file      *os.File
	name      string
	separator byte
	wake      wakeup

	buf   []byte // read and not handed out
	seen  int    // of buf, without a separator
	space []byte // where buf lies
	count int
	end   error
}

func (l *lines) Total() (int, bool) { return l.count, errors.Is(l.end, io.EOF) && len(l.buf) == 0 }

func (l *lines) Close() { l.wake.close() }

func (l *lines) Next(ctx context.Context) (string, error) {
	for {
		if i := bytes.IndexByte(l.buf[l.seen:], l.separator); i >= 0 {
			return l.take(l.seen+i, 1), nil
		}
		l.seen = len(l.buf)
		switch {
		case len(l.buf) > 0 && errors.Is(l.end, io.EOF):
			return l.take(len(l.buf), 0), nil
		case l.end != nil:
			return "", l.end
		case len(l.buf) > MaxBytes:
			l.end = l.tooLong()
			return "", l.end
		}
		if err := l.fill(ctx); err != nil {
			return "", err
		}
	}
}

// take hands out the first n bytes of the buffer and drops the separator.
func (l *lines) take(n, separator int) string {
	s := string(l.buf[:n])
	l.buf = l.buf[n+separator:]
	l.seen = 0
	l.count++
	return s
}

func (l *lines) tooLong() error {
	kind, hint := "lines", "; use -0 if they are separated by NUL"
	if l.separator == 0 {
		kind, hint = "NUL", "; leave -0 out if they are separated by newlines"
	}
	return fmt.Errorf("input %d from %s is longer than %d bytes (inputs are separated by %s%s)",
		l.count+1, l.name, MaxBytes, kind, hint)
}

// fill reads what is there, and waits until something is.
func (l *lines) fill(ctx context.Context) error {
	const least = 64 << 10
	if cap(l.buf)-len(l.buf) < least/2 {
		if l.space == nil || 2*len(l.buf) > len(l.space) {
			l.space = make([]byte, max(least, 4*len(l.buf)))
		}
		l.buf = l.space[:copy(l.space, l.buf)]
	}
	if err := l.wake.ready(ctx, l.file); err != nil {
		return err
	}
	n, err := l.file.Read(l.buf[len(l.buf):cap(l.buf)])
	l.buf = l.buf[:len(l.buf)+n]
	if err == io.EOF {
		l.end = io.EOF
	} else if err != nil {
		l.end = fmt.Errorf("read inputs from %s: %w", l.name, err)
	}
	return nil
}
