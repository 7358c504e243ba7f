// Package spool keeps the output of jobs until it is their turn to be printed.
//
// A Buffer holds one stream of one job: its first bytes in memory, all of it in
// an unlinked file once there are more. A Backlog holds the streams of jobs that
// are done but must wait for earlier ones. Neither leaves anything behind in the
// file system, whatever ends the process (on Windows: unless it is killed).
package spool

import (
	"fmt"
	"io"
	"os"
)

// A Buffer is one stream of output. The zero value keeps everything and goes to
// a file at once; it is for one goroutine at a time.
type Buffer struct {
	MemoryBytes int  // kept in memory; beyond that the whole stream is in a file
	HeadOnly    bool // keep the first MemoryBytes only, and count the rest

	mem  []byte
	file *os.File
	part *section // where a Backlog has put it
	size int64
}

// Len returns how many bytes were written to it.
func (b *Buffer) Len() int64 { return b.size }

// Head returns the bytes that are kept in memory: all of them while the stream
// is no longer than MemoryBytes. They are valid until the next call of Reset.
func (b *Buffer) Head() []byte { return b.mem }

// Write appends p. It fails when the file cannot be made or has no room.
func (b *Buffer) Write(p []byte) (int, error) {
	b.size += int64(len(p))
	room := b.MemoryBytes - len(b.mem)
	switch {
	case b.file != nil:
		return b.spill(p)
	case len(p) <= room:
		b.mem = append(b.mem, p...)
		return len(p), nil
	case b.HeadOnly:
		b.mem = append(b.mem, p[:max(room, 0)]...)
		return len(p), nil
	}
	f, err := unlinked()
	if err != nil {
		return 0, full(err)
	}
	b.file = f
	if _, err := b.spill(b.mem); err != nil {
		return 0, err
	}
	b.mem = b.mem[:0]
	return b.spill(p)
}

func (b *Buffer) spill(p []byte) (int, error) {
	n, err := b.file.Write(p)
	if err != nil {
		return n, full(err)
	}
	return n, nil
}

// full says what can be done about an output that has no room.
func full(err error) error {
	return fmt.Errorf("output past the limit is kept in a file in %s until it is printed: %w; "+
		"set TMPDIR to a folder with room, or print at once with --ungroup", os.TempDir(), err)
}

// WriteTo writes what is kept to w.
func (b *Buffer) WriteTo(w io.Writer) (int64, error) {
	switch {
	case b.part != nil:
		return io.Copy(w, b.part.reader())
	case b.file != nil:
		if _, err := b.file.Seek(0, io.SeekStart); err != nil {
			return 0, err
		}
		return io.Copy(w, b.file)
	case len(b.mem) == 0:
		return 0, nil
	}
	n, err := w.Write(b.mem)
	return int64(n), err
}

// Reset empties the buffer for another job. Its memory is kept, its file is not.
func (b *Buffer) Reset() {
	if b.file != nil {
		discard(b.file)
		b.file = nil
	}
	if b.part != nil {
		b.part.release()
		b.part = nil
	}
	b.mem = b.mem[:0]
	b.size = 0
}
