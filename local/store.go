package local

import "slices"

// A store keeps the items of a queue: in a ring, taken from either end, or with
// less in a heap. It keeps no reference to an item that was taken, and gives
// room back when it is a quarter full.
type store[T any] struct {
	lifo bool
	less func(a, b T) bool

	ring []T
	head int
	n    int

	heap []ranked[T]
	seq  uint64
}

// A ranked item has the number of its push, to tell equals apart.
type ranked[T any] struct {
	v   T
	seq uint64
}

const minRing = 16

func (s *store[T]) len() int {
	if s.less != nil {
		return len(s.heap)
	}
	return s.n
}

func (s *store[T]) push(v T) {
	if s.less != nil {
		s.pushHeap(v)
		return
	}
	if s.n == len(s.ring) {
		s.resize(max(minRing, 2*s.n))
	}
	i := s.head + s.n
	if i >= len(s.ring) {
		i -= len(s.ring)
	}
	s.ring[i] = v
	s.n++
}

// pop takes an item; there must be one.
func (s *store[T]) pop() T {
	if s.less != nil {
		return s.popHeap()
	}
	i := s.head
	if s.lifo {
		if i += s.n - 1; i >= len(s.ring) {
			i -= len(s.ring)
		}
	} else if s.head++; s.head == len(s.ring) {
		s.head = 0
	}
	var none T
	v := s.ring[i]
	s.ring[i] = none
	s.n--
	if len(s.ring) > 64*minRing && s.n < len(s.ring)/4 {
		s.resize(len(s.ring) / 2)
	}
	return v
}

// resize moves the items to a ring of size.
func (s *store[T]) resize(size int) {
	ring := make([]T, size)
	k := copy(ring, s.ring[s.head:min(s.head+s.n, len(s.ring))])
	copy(ring[k:], s.ring[:s.n-k])
	s.ring, s.head = ring, 0
}

// clear drops all items and returns how many they were.
func (s *store[T]) clear() int {
	n := s.len()
	s.ring, s.heap, s.head, s.n = nil, nil, 0, 0
	return n
}

func (s *store[T]) before(i, j int) bool {
	a, b := &s.heap[i], &s.heap[j]
	if s.less(a.v, b.v) {
		return true
	}
	return !s.less(b.v, a.v) && a.seq < b.seq
}

func (s *store[T]) pushHeap(v T) {
	s.seq++
	s.heap = append(s.heap, ranked[T]{v, s.seq})
	done := false
	defer func() {
		if done { // less did not panic
			return
		}
		i := slices.IndexFunc(s.heap, func(r ranked[T]) bool { return r.seq == s.seq })
		s.drop(i)
	}()
	s.up(len(s.heap) - 1)
	done = true
}

// drop takes out what is at i and leaves the last one in its place.
func (s *store[T]) drop(i int) {
	last := len(s.heap) - 1
	s.heap[i] = s.heap[last]
	s.heap[last] = ranked[T]{}
	s.heap = s.heap[:last]
}

func (s *store[T]) up(i int) {
	for i > 0 {
		parent := (i - 1) / 2
		if !s.before(i, parent) {
			return
		}
		s.heap[i], s.heap[parent] = s.heap[parent], s.heap[i]
		i = parent
	}
}

func (s *store[T]) popHeap() T {
	top := s.heap[0]
	s.drop(0)
	done := false
	defer func() {
		if !done { // less panicked
			s.heap = append(s.heap, top)
		}
	}()
	s.down()
	done = true
	return top.v
}

func (s *store[T]) down() {
	for i := 0; ; {
		least := i
		for _, c := range [...]int{2*i + 1, 2*i + 2} {
			if c < len(s.heap) && s.before(c, least) {
				least = c
			}
		}
		if least == i {
			return
		}
		s.heap[i], s.heap[least] = s.heap[least], s.heap[i]
		i = least
	}
}
