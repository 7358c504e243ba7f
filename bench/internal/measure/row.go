package measure

import (
	"context"
	"fmt"
	"time"
)

// A Unit is what a trial's figure is.
type Unit int

// The units.
const (
	PerOp Unit = iota // nanoseconds for one operation: the figure divided by their number
	Nanos             // nanoseconds
	Bytes
	Count // of something
)

// Format writes x with three digits.
func (u Unit) Format(x float64) string {
	switch u {
	case Bytes:
		return formatBytes(x)
	case Count:
		return fmt.Sprintf("%.3g", x)
	}
	switch {
	case x < 1e3:
		return fmt.Sprintf("%.3g ns", x)
	case x < 1e6:
		return fmt.Sprintf("%.3g µs", x/1e3)
	case x < 1e9:
		return fmt.Sprintf("%.3g ms", x/1e6)
	default:
		return fmt.Sprintf("%.3g s", x/1e9)
	}
}

func formatBytes(x float64) string {
	switch {
	case x < 0:
		return "-" + formatBytes(-x)
	case x < 100:
		return fmt.Sprintf("%.2g B", x)
	case x < 1<<10:
		return fmt.Sprintf("%.0f B", x)
	case x < 1<<20:
		return fmt.Sprintf("%.1f KiB", x/(1<<10))
	default:
		return fmt.Sprintf("%.1f MiB", x/(1<<20))
	}
}

// A Trial does the work of a row.
type Trial struct {
	// Run does the work n times, checks what came of it, and returns the figure
	// for all of it: nanoseconds, or what the row's unit says.
	Run func(n int) (float64, error)

	// Close ends what Open started and waits for it; nil does nothing.
	Close func() error
}

// Time makes a trial's Run of a function that is to be timed.
func Time(fn func(n int) error) func(int) (float64, error) {
	return func(n int) (float64, error) {
		begin := time.Now()
		err := fn(n)
		return float64(time.Since(begin)), err
	}
}

// An Impl is one way of doing a row's work.
type Impl struct {
	Name string

	// Open prepares a trial. ctx is that of the strand that calls. An error
	// that is a [MissingError] leaves the row out.
	Open func(ctx context.Context) (Trial, error)

	// N is how often a run does the work; 0 is as often as makes the run last
	// as long as the runner says.
	N int
}

// A MissingError says what the machine lacks for a row.
type MissingError string

func (m MissingError) Error() string { return string(m) }

// A Row is one comparison.
type Row struct {
	Name string // GROUP/PEER, for people and for selecting rows
	What string // the work, in a few words
	Unit Unit

	Ours  Impl
	Peer  Impl // one without a name: there is none
	Floor Impl // one without a name: the peer is, or there is none

	// Bound is for the ratio: ours to the peer's, or, where it is AtLeast, the
	// peer's to ours, which is the ratio of speeds.
	Bound Bound

	// Absolute is for our own figure, in Scale.
	Absolute Bound

	// Scale is what Absolute counts in, and what follows its number: 1e6 and
	// "ms"; 0 is 1.
	Scale     float64
	ScaleName string

	// Allocs is the most allocations that ours may make for one operation,
	// below 0 none; 0 does not ask.
	Allocs float64
}
