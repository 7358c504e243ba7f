package process

import (
	"fmt"
	"os"
	"time"

	"github.com/tristrand/tristrand/internal/segment"
)

// What a note says.
const (
	noteHello   = iota + 1 // worker: it is ready; or Fault says why it is not
	noteConfig             // pool: who the worker is and what to do first
	noteLane               // pool: the lane, with its descriptor
	noteSegment            // either: a segment, with its descriptor
	noteFile               // either: a file, with its descriptor
	noteForget             // either: the segment is not needed any more
	noteCancel             // pool: the job Seq shall stop, with Cause
	noteStop               // pool: end when the jobs that were sent are done
	noteMemory             // worker: N bytes are resident
	noteFrame              // either: Body is a frame, where there is no shared memory
	noteTaken              // pool: the result in the segment was read
	noteMark               // either: what goes beside the frame Seq has been sent before
)

// Why a job shall stop.
const (
	causeCancel   = iota + 1 // Future.Cancel, Close, Terminate
	causeTimeout             // its time is up
	causeCanceled            // the ctx of Submit was cancelled
	causeDeadline            // the ctx of Submit has a deadline, which has passed
)

// A note is a message beside the rings, which data cannot hold up: it may bring a
// descriptor.
type note struct {
	Op     int          `cbor:"1,keyasint"`
	Seq    uint64       `cbor:"2,keyasint,omitempty"`
	Key    []byte       `cbor:"3,keyasint,omitempty"`
	N      int          `cbor:"4,keyasint,omitempty"`
	Text   string       `cbor:"5,keyasint,omitempty"`
	Fault  *remoteFault `cbor:"6,keyasint,omitempty"`
	Config *config      `cbor:"7,keyasint,omitempty"`
	Body   []byte       `cbor:"8,keyasint,omitempty"`
}

// The kinds of workers.
const (
	kindWorker  = "worker"
	kindProcess = "process"
)

// A config is what a worker is told first.
type config struct {
	Name   string        `cbor:"1,keyasint"`
	Kind   string        `cbor:"2,keyasint"`           // "worker" or "process"
	Task   string        `cbor:"3,keyasint,omitempty"` // to be run first
	Input  []byte        `cbor:"4,keyasint,omitempty"`
	Raw    bool          `cbor:"5,keyasint,omitempty"`
	Placed bool          `cbor:"7,keyasint,omitempty"` // the input is in a segment
	Left   time.Duration `cbor:"8,keyasint,omitempty"` // until the deadline of a process
	Meta   []byte        `cbor:"9,keyasint,omitempty"` // what travels with its ctx
	Sample time.Duration `cbor:"6,keyasint,omitempty"` // how often to tell its memory; 0 is never
}

// maxNote bounds a note of a socket: it fits into its buffer as one packet.
const maxNote = 64 << 10

// A post sends and receives notes. Notes may be sent by many goroutines, and received by
// one.
type post interface {
	// send sends a note, with a descriptor if fd ≥ 0. It waits while the other side
	// does not read, until Close.
	send(n note, fd int) error
	sendFile(n note, f *os.File) error
	// receive returns the next note, and the descriptor that came with it or -1, which
	// is the caller's. A peer that is gone is io.EOF.
	receive(room *room) (n note, fd int, err error)
	Close() error
}

// A room is what a post receives into, one for each who receives.
type room struct{ data, rights []byte }

func keyOf(b []byte) (k segment.Key, err error) {
	if len(b) != len(k) {
		return k, fmt.Errorf("process: a key of %d bytes: %w", len(b), errFrame)
	}
	return segment.Key(b), nil
}
