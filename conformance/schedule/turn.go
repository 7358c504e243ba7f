package schedule

import (
	"runtime"
	"strconv"
	"strings"

	"github.com/tristrand/tristrand/strand"
)

// A turn is what a scheduler knows of one strand.
type turn struct {
	s      *strand.Strand
	number int           // in order of appearance, from 0
	wake   chan struct{} // gives the strand the turn
	parked bool
	early  bool   // made ready before it parked
	gid    uint64 // of the goroutine that it was started on, 0 if it was not
}

func newTurn(s *strand.Strand, number int) *turn {
	return &turn{s: s, number: number, wake: make(chan struct{}, 1)}
}

// park notes that t waits; false if it was made ready already.
func (t *turn) park() bool {
	if t.early {
		t.early = false
		return false
	}
	t.parked = true
	return true
}

// ready notes that t can go on; false if it has not parked yet. Ready is called
// once for each Park, so that two at once are a bug of the caller.
func (t *turn) ready() bool {
	if t.parked {
		t.parked = false
		return true
	}
	if t.early {
		panic("schedule: Ready(" + t.s.String() + ") twice for one Park")
	}
	t.early = true
	return false
}

// goroutine returns the number of the calling goroutine. It costs about 1 µs.
func goroutine() uint64 {
	var buf [64]byte
	head := string(buf[:runtime.Stack(buf[:], false)])
	head = strings.TrimPrefix(head, "goroutine ")
	head, _, _ = strings.Cut(head, " ")
	n, err := strconv.ParseUint(head, 10, 64)
	if err != nil {
		panic("schedule: bug: a stack trace begins with " + head)
	}
	return n
}
