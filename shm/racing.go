//go:build race

package shm

import "sync/atomic"

// The race detector sees no order in memory that it does not know. Under it,
// every object has a word on the heap that says what the one in the segment
// says, for the goroutines of this process.
type shadow struct{ words *[maxUnits]atomic.Uint32 }

func (s *shadow) init()               { s.words = new([maxUnits]atomic.Uint32) }
func (s *shadow) acquire(unit uint32) { s.words[unit&(maxUnits-1)].Load() }
func (s *shadow) release(unit uint32) { s.words[unit&(maxUnits-1)].Add(1) }
