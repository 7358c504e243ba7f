//go:build !race

package shm

// Without the race detector there are no shadows.
type shadow struct{}

func (*shadow) init()          {}
func (*shadow) acquire(uint32) {}
func (*shadow) release(uint32) {}
