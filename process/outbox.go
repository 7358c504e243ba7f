package process

import (
	"errors"
	"os"
	"sync"

	"github.com/tristrand/tristrand/internal/parcel"
	"github.com/tristrand/tristrand/internal/segment"
)

// An outbox holds the notes that are to be sent, in order, so that whoever writes one
// does not wait for the other side to read. What it holds is bounded by the jobs that
// the other side has.
type outbox struct {
	post   post
	mu     sync.Mutex
	some   *sync.Cond
	notes  []outgoing
	sent   map[segment.Key]struct{} // the segments that the other side has
	closed bool
	busy   bool // somebody sends
}

// An outgoing note has at most one of these to go with it, which the outbox owns.
type outgoing struct {
	note
	seg  *segment.Segment
	file *os.File
}

func (o *outgoing) drop() {
	if o.seg != nil {
		o.seg.Release()
	}
	if o.file != nil {
		_ = o.file.Close() // a duplicate
	}
}

func (o *outbox) init(p post) {
	o.post = p
	o.some = sync.NewCond(&o.mu)
	o.sent = make(map[segment.Key]struct{})
}

// put adds a note, and a file to go with it, which is the outbox's then.
func (o *outbox) put(n note, f *os.File) { o.add(outgoing{note: n, file: f}) }

// leave adds a note for the next flush, or whoever sends anyhow.
func (o *outbox) leave(n note) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.closed {
		o.notes = append(o.notes, outgoing{note: n})
	}
}

// flush sends the only note that there is, if that needs no waiting, which spares the
// sender's goroutine; otherwise that does it.
func (o *outbox) flush() {
	o.mu.Lock()
	defer o.mu.Unlock()
	now, ok := o.post.(*pythonPost)
	if o.busy || o.closed || len(o.notes) == 0 {
		return // who sends looks again
	}
	if ok && len(o.notes) == 1 && now.sendNow(o.notes[0].note) {
		o.notes = o.notes[:0]
		return
	}
	o.some.Signal()
}

// segment adds a note that brings a segment.
func (o *outbox) segment(s *segment.Segment, op int) {
	s.Retain()
	key := s.Key()
	o.add(outgoing{note: note{Op: op, Key: key[:]}, seg: s})
}

func (o *outbox) add(n outgoing) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		n.drop()
		return
	}
	o.notes = append(o.notes, n)
	o.some.Signal()
}

// send sends what is put until the outbox is closed or the other side is gone.
func (o *outbox) send() {
	for {
		o.mu.Lock()
		for len(o.notes) == 0 && !o.closed {
			o.some.Wait()
		}
		if o.closed {
			o.mu.Unlock()
			return
		}
		notes := o.notes
		o.notes, o.busy = nil, true
		o.mu.Unlock()
		for i := range notes {
			if err := notes[i].sendBy(o.post); err != nil {
				o.close()
			}
			notes[i].drop()
		}
		o.mu.Lock()
		o.busy = false
		o.mu.Unlock()
	}
}

func (o *outgoing) sendBy(p post) error {
	switch {
	case o.seg != nil:
		return p.send(o.note, o.seg.FD())
	case o.file != nil:
		return p.sendFile(o.note, o.file)
	default:
		return p.send(o.note, -1)
	}
}

// close drops what was not sent, and what will be put.
func (o *outbox) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed = true
	for i := range o.notes {
		o.notes[i].drop()
	}
	o.notes = nil
	o.some.Broadcast()
}

// load sends what goes beside a load, if the other side does not have it.
func (o *outbox) load(l *load) error {
	l.sent = true
	if _, python := o.post.(*pythonPost); python {
		if !l.extra.Empty() {
			return errors.New("process: shared objects and files cannot go to Python")
		}
		return nil // it finds segments by itself
	}
	if l.seg != nil {
		o.bring(l.seg)
	}
	for _, s := range l.extra.Segments() {
		o.bring(s)
	}
	for _, f := range l.extra.Files() {
		key := f.Key
		dup, err := parcel.Duplicate(f.File)
		if err != nil {
			return err
		}
		o.put(note{Op: noteFile, Key: key[:]}, dup)
	}
	return nil
}

// bring sees to it that the other side has a segment for as long as this one has it.
func (o *outbox) bring(s *segment.Segment) {
	key := s.Key()
	o.mu.Lock()
	_, known := o.sent[key]
	o.sent[key] = struct{}{}
	o.mu.Unlock()
	if known {
		return
	}
	o.segment(s, noteSegment)
	s.OnClose(func() {
		o.mu.Lock()
		delete(o.sent, key)
		o.mu.Unlock()
		o.put(note{Op: noteForget, Key: key[:]}, nil)
	})
}
