package server

import "sync"

// slots bound how many connections there are at once.
type slots struct {
	mu     sync.Mutex
	free   int
	wanted []chan struct{} // those who wait, the first to come first
}

func newSlots(n int) *slots { return &slots{free: n} }

// try takes a slot if there is one.
func (s *slots) try() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.free <= 0 {
		return false
	}
	s.free--
	return true
}

// take waits for a slot until stop, and reports whether it has one.
func (s *slots) take(stop <-chan struct{}) bool {
	s.mu.Lock()
	if s.free > 0 {
		s.free--
		s.mu.Unlock()
		return true
	}
	w := make(chan struct{})
	s.wanted = append(s.wanted, w)
	s.mu.Unlock()
	select {
	case <-w:
		return true
	case <-stop:
	}
	s.mu.Lock()
	for i, x := range s.wanted {
		if x == w {
			s.wanted = append(s.wanted[:i], s.wanted[i+1:]...)
			s.mu.Unlock()
			return false
		}
	}
	s.mu.Unlock()
	return true // it was given meanwhile
}

// give gives a slot back.
func (s *slots) give() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.wanted) > 0 {
		close(s.wanted[0])
		s.wanted = s.wanted[1:]
		return
	}
	s.free++
}
