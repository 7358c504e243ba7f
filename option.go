package tristrand

import (
	"maps"
	"math/rand/v2"
	"time"
)

// A CallOption changes one call of a task.
type CallOption func(*settings)

// settings are what the options of a call come to. Calls share them.
type settings struct {
	limits         Limits
	min, max       time.Duration // of the pause before another try
	buffer, chunks int
}

// The pauses between tries where Backoff says nothing.
const (
	defaultMinBackoff = 100 * time.Millisecond
	defaultMaxBackoff = 10 * time.Second
)

func apply(opts []CallOption) *settings {
	if len(opts) == 0 {
		return nil
	}
	s := &settings{min: defaultMinBackoff, max: defaultMaxBackoff}
	for _, o := range opts {
		o(s)
	}
	return s
}

// Timeout bounds each try of the job, from its start. An engine that can stop
// the function does; the others end its ctx with cause ErrTimeout. d ≤ 0 means
// no bound.
func Timeout(d time.Duration) CallOption {
	return func(s *settings) { s.limits.Timeout = max(d, 0) }
}

// Priority makes a job start before the queued ones of lower priority; the
// default is 0, and among equals the first submitted is first.
func Priority(p int) CallOption {
	return func(s *settings) { s.limits.Priority = p }
}

// Retries allows up to n more tries after an error, a panic, a crash or a
// time-out. A cancelled job, one whose ctx has ended, and one that failed with a
// Permanent error are not tried again. The error of the last one joins them all.
func Retries(n int) CallOption {
	return func(s *settings) { s.limits.Retries = max(n, 0) }
}

// Backoff sets the pauses between tries: the first is min, then they double up
// to max, each shortened by up to half at random. They hold no worker. The
// default is 100 ms to 10 s.
func Backoff(min, max time.Duration) CallOption {
	return func(s *settings) { s.min, s.max = min, max }
}

// Label attaches a label to the job: it travels to where the job runs and, on
// engines of this process, is a pprof label while it does.
func Label(key, value string) CallOption {
	return func(s *settings) {
		s.limits.Label = maps.Clone(s.limits.Label)
		if s.limits.Label == nil {
			s.limits.Label = make(map[string]string)
		}
		s.limits.Label[key] = value
	}
}

// Buffer bounds how many inputs Map reads ahead of the results taken; below 1 is
// the default: as many as the executor's queue holds, at most 1024, but enough for
// each worker to have a chunk to run and one to go on with.
func Buffer(n int) CallOption {
	return func(s *settings) { s.buffer = n }
}

// Chunk makes Map send n inputs as one job, of at most 1,048,576 and no more than
// Buffer; below 1 is the default: engines to which a job is cheap get one by one,
// and for the others Map sends more as long as that takes little time; see
// Chunker. It saves the cost of a job each where the work is small. An input that
// fails is tried again alone. Inputs of jobs with a Timeout are always sent one
// by one.
func Chunk(n int) CallOption {
	return func(s *settings) { s.chunks = n }
}

// pause returns how long to wait after the failure of try number n, from 1.
func (s *settings) pause(n int) time.Duration {
	d := s.min
	for range n - 1 {
		if d >= s.max/2 {
			d = s.max
			break
		}
		if d <= 0 {
			break
		}
		d *= 2
	}
	if d = min(d, s.max); d <= 1 {
		return max(d, 0)
	}
	return d - rand.N(d/2)
}
