//go:build !linux

package futex

import "time"

// Supported says whether this system has futexes.
const Supported = false

// Wait returns at once.
func Wait(*uint32, uint32, time.Duration) {}

// Wake does nothing.
func Wake(*uint32, int) int { return 0 }
