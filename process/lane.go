package process

import (
	"fmt"
	"sync/atomic"
	"unsafe"

	"github.com/tristrand/tristrand/internal/ring"
	"github.com/tristrand/tristrand/internal/segment"
)

// A lane is the memory that a pool and one of its workers share: a ring of jobs, a
// ring of results, and a claim for each slot. What is in it is the worker's to spoil,
// and nobody else's.
//
//	0      the claims, one word for each slot, and at 2048 the journal's word
//	4096   the journal
//	36864  the ring of jobs
//	…      the ring of results
const (
	slots     = 64       // jobs that a worker may have, one running and the others next
	laneData  = 64 << 10 // of each ring
	claimsEnd = journalAt + journalBytes
)

// inline is the longest frame; longer bodies go into segments of their own.
var inline = ring.MaxFrame(laneData)

func laneBytes() int { return claimsEnd + 2*ring.Bytes(laneData) }

func newLaneSegment(name string) (*segment.Segment, error) { return segment.New(name, laneBytes()) }

// claimAt returns the claim of a slot.
func claimAt(mem []byte, slot int) *atomic.Uint32 {
	return (*atomic.Uint32)(unsafe.Pointer(&mem[slot*4]))
}

func jobRing(mem []byte) []byte    { return mem[claimsEnd : claimsEnd+ring.Bytes(laneData)] }
func resultRing(mem []byte) []byte { return mem[claimsEnd+ring.Bytes(laneData):] }

// touch has the pages mapped that the first job needs, which would wait for that else.
// Nothing is changed by it.
func touch(mem []byte) {
	jobs, results := claimsEnd, claimsEnd+ring.Bytes(laneData)
	for _, at := range []int{0, jobs, results} {
		(*atomic.Uint32)(unsafe.Pointer(&mem[at])).Add(0)
	}
}

// checkLane refuses memory that is no lane.
func checkLane(s *segment.Segment) error {
	if s.Size() < laneBytes() {
		return fmt.Errorf("process: a lane of %d bytes; it takes %d", s.Size(), laneBytes())
	}
	return nil
}
