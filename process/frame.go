package process

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/tristrand/tristrand/internal/segment"
)

// What a frame is: one byte, first in each.
const (
	frameJob = iota + 1
	frameResult
)

// The flags of a frame.
const (
	flagRaw     = 1 << iota // the body is the bytes of the value as they are
	flagSegment             // the body is in a segment: its key, and how many bytes
	flagName                // the name of the task follows, for the number that stands for it
	flagMeta                // what travels with the job's ctx follows
	flagError               // of a result: the body is a fault
	flagPart                // of a result: more will come
	flagExtra               // something goes beside it, and a mark after that; of a result it is kept until it is said to have come
)

// A jobFrame is one call of a task on its way to a worker.
type jobFrame struct {
	flags  byte
	slot   uint16
	number uint32        // stands for the task's name
	seq    uint64        // of the call, unique to the worker
	left   time.Duration // until the job's deadline; 0 is none
	name   []byte        // with flagName
	meta   []byte        // with flagMeta
	body   []byte
}

const (
	jobHead    = 24
	resultHead = 24
	refBytes   = 24 // a segment's key and a length
)

func (f *jobFrame) size() int {
	n := jobHead + len(f.body)
	if f.flags&flagName != 0 {
		n += 2 + len(f.name)
	}
	if f.flags&flagMeta != 0 {
		n += 4 + len(f.meta)
	}
	return n
}

// write writes the frame into b, which has its size.
func (f *jobFrame) write(b []byte) {
	b[0], b[1] = frameJob, f.flags
	binary.LittleEndian.PutUint16(b[2:], f.slot)
	binary.LittleEndian.PutUint32(b[4:], f.number)
	binary.LittleEndian.PutUint64(b[8:], f.seq)
	binary.LittleEndian.PutUint64(b[16:], uint64(f.left))
	b = b[jobHead:]
	if f.flags&flagName != 0 {
		binary.LittleEndian.PutUint16(b, uint16(len(f.name)))
		b = b[2+copy(b[2:], f.name):]
	}
	if f.flags&flagMeta != 0 {
		binary.LittleEndian.PutUint32(b, uint32(len(f.meta)))
		b = b[4+copy(b[4:], f.meta):]
	}
	copy(b, f.body)
}

var errFrame = errors.New("a frame is cut short or of no known kind")

// readJob parses a frame; what it returns points into b.
func readJob(b []byte) (f jobFrame, err error) {
	if len(b) < jobHead || b[0] != frameJob {
		return f, fmt.Errorf("process: a job: %w", errFrame)
	}
	f.flags = b[1]
	f.slot = binary.LittleEndian.Uint16(b[2:])
	f.number = binary.LittleEndian.Uint32(b[4:])
	f.seq = binary.LittleEndian.Uint64(b[8:])
	f.left = time.Duration(binary.LittleEndian.Uint64(b[16:]))
	b = b[jobHead:]
	if f.flags&flagName != 0 {
		if len(b) < 2 || len(b) < 2+int(binary.LittleEndian.Uint16(b)) {
			return f, fmt.Errorf("process: the name of a task: %w", errFrame)
		}
		n := 2 + int(binary.LittleEndian.Uint16(b))
		f.name, b = b[2:n], b[n:]
	}
	if f.flags&flagMeta != 0 {
		if len(b) < 4 || uint64(len(b)) < 4+uint64(binary.LittleEndian.Uint32(b)) {
			return f, fmt.Errorf("process: what travels with a job: %w", errFrame)
		}
		n := 4 + int(binary.LittleEndian.Uint32(b))
		f.meta, b = b[4:n], b[n:]
	}
	f.body = b
	return f, nil
}

// A resultFrame is the outcome of a call on its way back.
type resultFrame struct {
	flags byte
	slot  uint16
	ran   time.Duration // how long the function took; at most 4 s is told
	seq   uint64
	mark  uint64 // with flagExtra: the number of the mark
	body  []byte
}

func (f *resultFrame) size() int { return resultHead + len(f.body) }

func (f *resultFrame) write(b []byte) {
	b[0], b[1] = frameResult, f.flags
	binary.LittleEndian.PutUint16(b[2:], f.slot)
	binary.LittleEndian.PutUint32(b[4:], uint32(min(f.ran, math.MaxUint32)))
	binary.LittleEndian.PutUint64(b[8:], f.seq)
	binary.LittleEndian.PutUint64(b[16:], f.mark)
	copy(b[resultHead:], f.body)
}

func readResult(b []byte) (f resultFrame, err error) {
	if len(b) < resultHead || b[0] != frameResult {
		return f, fmt.Errorf("process: a result: %w", errFrame)
	}
	return resultFrame{
		flags: b[1],
		slot:  binary.LittleEndian.Uint16(b[2:]),
		ran:   time.Duration(binary.LittleEndian.Uint32(b[4:])),
		seq:   binary.LittleEndian.Uint64(b[8:]),
		mark:  binary.LittleEndian.Uint64(b[16:]),
		body:  b[resultHead:],
	}, nil
}

// appendRef and readRef are for bodies that are in a segment.
func appendRef(b []byte, key segment.Key, n int) []byte {
	return binary.LittleEndian.AppendUint64(append(b, key[:]...), uint64(n))
}

func readRef(b []byte) (key segment.Key, n int, err error) {
	if len(b) != refBytes {
		return key, 0, fmt.Errorf("process: the place of a body: %w", errFrame)
	}
	size := binary.LittleEndian.Uint64(b[len(key):])
	if size > math.MaxInt64/2 {
		return key, 0, fmt.Errorf("process: a body of %d bytes: %w", size, errFrame)
	}
	return segment.Key(b[:len(key)]), int(size), nil
}

// A claim says who may run the job in a slot: the worker takes it, or the pool
// withdraws it, and only one of them can.
func claimWord(seq uint64, state uint32) uint32 { return uint32(seq)<<2 | state }

const (
	claimOffered   = 1
	claimTaken     = 2
	claimWithdrawn = 3
)
