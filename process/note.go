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
	Op     int
	Seq    uint64
	Key    []byte
	N      int
	Text   string
	Fault  *remoteFault
	Config *config
	Body   []byte
}

// The kinds of workers.
const (
	kindWorker  = "worker"
	kindProcess = "process"
)

// A config is what a worker is told first.
type config struct {
	Name   string
	Kind   string // "worker" or "process"
	Task   string // to be run first
	Input  []byte
	Raw    bool
	Placed bool          // the input is in a segment
	Left   time.Duration // until the deadline of a process
	Meta   []byte        // what travels with its ctx
	Sample time.Duration // how often to tell its memory; 0 is never
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
