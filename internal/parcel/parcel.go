// Package parcel holds what goes beside the bytes of a job to another process:
// the descriptors of shared memory and of files.
//
// An object that can cross a border is a [Carrier]: before it is encoded it adds
// what it needs to the [Parcel], and encodes itself as a [Ref], which is found
// again on the other side because the engine has adopted what came beside the
// bytes before it decodes them. Files wait in a table of the receiver until
// [Take] takes them.
package parcel

import (
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/tristrand/tristrand/internal/segment"
)

// A Carrier is an object that needs more than bytes to cross into another
// process. Carry is called before the object is encoded.
type Carrier interface{ Carry(p *Parcel) error }

// A Borrower is a carrier whose arrived copy belongs to the job that it arrived
// with: the engine calls Return of those in an input when the function has
// returned and its output was encoded, and of those in an output then, too.
type Borrower interface {
	Carrier
	Return()
}

// MaxFiles is the number of files that a parcel may hold, and that a receiver
// keeps before they are taken.
const MaxFiles = 1024

// A Parcel collects what goes along with one job or result. The zero value is
// empty. It keeps what it holds alive until Close.
type Parcel struct {
	segments []*segment.Segment
	files    []File
	undo     []func()
}

// A File is a file that goes along, and the key to take it by.
type File struct {
	Key  segment.Key
	File *os.File
}

// Segment makes s go along, once however often it is added.
func (p *Parcel) Segment(s *segment.Segment) {
	if slices.Contains(p.segments, s) {
		return
	}
	s.Retain()
	p.segments = append(p.segments, s)
}

// File makes a duplicate of f go along, once for each key; the other side takes
// it with Take(key). f stays the caller's.
func (p *Parcel) File(key segment.Key, f *os.File) error {
	for _, have := range p.files {
		if have.Key == key {
			return nil
		}
	}
	if len(p.files) == MaxFiles {
		return fmt.Errorf("parcel: %s is one file too many: no more than %d go along with a job", f.Name(), MaxFiles)
	}
	dup, err := Duplicate(f)
	if err != nil {
		return fmt.Errorf("parcel: a duplicate of %s to go along: %w", f.Name(), err)
	}
	p.files = append(p.files, File{key, dup})
	return nil
}

// Segments returns the segments that go along; they stay the parcel's.
func (p *Parcel) Segments() []*segment.Segment { return p.segments }

// Files returns the files that go along; they stay the parcel's.
func (p *Parcel) Files() []File { return p.files }

// Empty reports whether nothing goes along.
func (p *Parcel) Empty() bool { return len(p.segments) == 0 && len(p.files) == 0 }

// Undo has fn called if the parcel is abandoned.
func (p *Parcel) Undo(fn func()) { p.undo = append(p.undo, fn) }

// Abandon is Close for a parcel that was not sent and will not be.
func (p *Parcel) Abandon() error {
	for _, fn := range p.undo {
		fn()
	}
	return p.Close()
}

// CloseFiles gives up the files, after they were sent.
func (p *Parcel) CloseFiles() {
	for _, f := range p.files {
		_ = f.File.Close() // a duplicate
	}
	p.files = nil
}

// Close gives up what the parcel holds and leaves it empty, after it was sent.
func (p *Parcel) Close() error {
	for _, s := range p.segments {
		s.Release()
	}
	var errs []error
	for _, f := range p.files {
		errs = append(errs, f.File.Close())
	}
	*p = Parcel{}
	return errors.Join(errs...)
}
