package spool

import (
	"io"
	"os"
)

// A Backlog takes over what buffers keep whose turn has not come, so that neither memory
// nor descriptors grow with the number of jobs that wait. The zero value holds
// everything in its file. It is for one goroutine at a time, and so are the
// buffers that it gives out.
type Backlog struct {
	MemoryBytes int // of all buffers together that may stay in memory
	Files       int // of buffers that may keep a file of their own

	file        *os.File
	end         int64
	live        int // sections in the file
	held, files int
}

// A section is a part of a backlog's file, or a share of what it lets be.
type section struct {
	of     *Backlog
	off, n int64
	mem    []byte
	own    *os.File
}

// Hold takes over what b keeps and returns the buffer that it is in from now
// on, to be written out and reset. b is empty then, as after Reset.
func (l *Backlog) Hold(b *Buffer) (*Buffer, error) {
	if b.size == 0 {
		return &Buffer{}, nil
	}
	s := &section{of: l}
	switch {
	case b.file != nil && l.files < l.Files:
		l.files++
		s.own, b.file = b.file, nil
	case b.file == nil && l.held+len(b.mem) <= l.MemoryBytes:
		l.held += len(b.mem)
		if cap(b.mem) > 2*len(b.mem) {
			s.mem = append(make([]byte, 0, len(b.mem)), b.mem...)
		} else {
			s.mem, b.mem = b.mem, nil
		}
	default:
		if err := l.append(s, b); err != nil {
			return nil, err
		}
	}
	held := &Buffer{part: s, size: b.size}
	b.Reset()
	return held, nil
}

// append copies b to the end of the file.
func (l *Backlog) append(s *section, b *Buffer) error {
	if l.file == nil {
		f, err := unlinked()
		if err != nil {
			return full(err)
		}
		l.file = f
	}
	n, err := b.WriteTo(io.NewOffsetWriter(l.file, l.end))
	if err != nil {
		return full(err)
	}
	s.off, s.n = l.end, n
	l.end += n
	l.live++
	return nil
}

func (s *section) reader() io.Reader {
	switch {
	case s.own != nil:
		_, _ = s.own.Seek(0, io.SeekStart) // of a file of ours: cannot fail
		return s.own
	case s.mem != nil:
		return &memory{s.mem}
	}
	return io.NewSectionReader(s.of.file, s.off, s.n)
}

// memory is a reader that hands its bytes over in one write.
type memory struct{ p []byte }

func (m *memory) Read(p []byte) (int, error) {
	n := copy(p, m.p)
	m.p = m.p[n:]
	if n == 0 {
		return 0, io.EOF
	}
	return n, nil
}

func (m *memory) WriteTo(w io.Writer) (int64, error) {
	n, err := w.Write(m.p)
	m.p = m.p[n:]
	return int64(n), err
}

// release gives the section's room back; the file shrinks once it is empty.
func (s *section) release() {
	l := s.of
	switch {
	case s.own != nil:
		discard(s.own)
		l.files--
	case s.mem != nil:
		l.held -= len(s.mem)
	default:
		if l.live--; l.live == 0 {
			l.end = 0
			_ = l.file.Truncate(0) // it is written from the start again either way
		}
	}
}

// Close gives back the file.
func (l *Backlog) Close() {
	if l.file != nil {
		discard(l.file)
		l.file = nil
	}
}
