package tristrand

import (
	"sync"
	"time"
)

// A Chunker is an Executor for which a job costs so much more than a short
// function that Map had better send several inputs as one. It starts with one
// by one, and sends more as long as they take less than the target, as Start and
// Finish tell; or less. It says so with Chunk, and never does so with a Timeout.
type Chunker interface {
	Executor
	// Chunking returns how long a chunk should take, and how many inputs one may
	// hold: no more than 1 is to say that they should go alone.
	Chunking() (target time.Duration, max int)
}

// A sizer chooses how many inputs go into a chunk, from how long chunks took to
// run and their inputs to come. It at most doubles or halves from one chunk to
// the next, so that one that is odd does not matter much.
type sizer struct {
	target time.Duration

	mu   sync.Mutex
	size int // as the functions are quick
	pace int // as the inputs come
	most int
}

// next returns how many inputs the next chunk shall have.
func (z *sizer) next() int {
	z.mu.Lock()
	defer z.mu.Unlock()
	return max(min(z.size, z.pace, z.most), 1)
}

// limit bounds the size.
func (z *sizer) limit(most int) {
	z.mu.Lock()
	z.most = most
	z.mu.Unlock()
}

// ran tells of a chunk of n that took d. A smaller one than those of now says
// more about the cost of a job than about the function's.
func (z *sizer) ran(n int, d time.Duration) {
	z.mu.Lock()
	defer z.mu.Unlock()
	if n >= min(z.size, z.pace, z.most) {
		z.size = z.fit(n, d, min(z.size, z.most))
	}
}

// came tells that n inputs took d to come. Those that come slowly are not kept
// waiting for more, from one chunk to the next.
func (z *sizer) came(n int, d time.Duration) {
	z.mu.Lock()
	defer z.mu.Unlock()
	if z.pace = z.fit(n, d, min(z.pace, z.most)); d > z.target {
		z.pace = max(int(int64(n)*int64(z.target)/int64(d)), 1)
	}
}

// fit returns how many take as long as the target, if n took d, near to now.
func (z *sizer) fit(n int, d time.Duration, now int) int {
	fit := float64(n) * float64(z.target) / float64(max(d, 1))
	return int(max(min(fit, 2*float64(now)), float64(now)/2, 1))
}

// A gauge measures how long a job takes, from its start to its end.
type gauge struct {
	tell  *sizer
	n     int // of its inputs
	began time.Time
}

// measureBy has a job's time told to z. The job has not been handed over.
func (o *outcome) measureBy(z *sizer, n int) {
	o.rest().gauge = &gauge{tell: z, n: n}
	o.marks.Or(gauged)
}

// measure begins to measure a job that has a gauge.
func (o *outcome) measure() {
	o.mu.Lock()
	o.rest().gauge.began = time.Now()
	o.mu.Unlock()
}

// measured tells how long a job took that has a gauge.
func (o *outcome) measured() {
	o.mu.Lock()
	g := *o.rest().gauge
	o.mu.Unlock()
	if !g.began.IsZero() {
		g.tell.ran(g.n, time.Since(g.began))
	}
}
