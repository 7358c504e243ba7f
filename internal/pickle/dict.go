package pickle

import (
	"iter"
	"slices"
)

// A Dict is a dict: keys are equal as Python has it, in the order in which they
// were put in. The zero value is empty. It may be read by many at once, and
// changed by one alone.
type Dict struct {
	entries []entry
	index   map[any]int // by keyOf; nil while the entries are few
	holes   int
}

type entry struct {
	key, canon, value any
	gone              bool
}

const fewEntries = 8

// Len returns the number of keys.
func (d *Dict) Len() int { return len(d.entries) - d.holes }

// find returns the place of a key, -1 if it is not there.
func (d *Dict) find(canon any) int {
	if d.index != nil {
		if i, ok := d.index[canon]; ok {
			return i
		}
		return -1
	}
	for i := range d.entries {
		if e := &d.entries[i]; !e.gone && e.canon == canon {
			return i
		}
	}
	return -1
}

// Get returns the value of key. It fails with a *TypeError if the key cannot be
// hashed.
func (d *Dict) Get(key any) (value any, ok bool, err error) {
	canon, err := keyOf(key)
	if err != nil {
		return nil, false, err
	}
	i := d.find(canon)
	if i < 0 {
		return nil, false, nil
	}
	return d.entries[i].value, true, nil
}

// Set sets the value of key. A key that is there stays as it was first written.
func (d *Dict) Set(key, value any) error {
	canon, err := keyOf(key)
	if err != nil {
		return err
	}
	if i := d.find(canon); i >= 0 {
		d.entries[i].value = value
		return nil
	}
	d.entries = append(d.entries, entry{key: key, canon: canon, value: value})
	switch {
	case d.index != nil:
		d.index[canon] = len(d.entries) - 1
	case len(d.entries) > fewEntries:
		d.rebuild()
	}
	return nil
}

// SetString is Set with a str as the key.
func (d *Dict) SetString(key string, value any) { _ = d.Set(key, value) } // a string can be hashed

// Delete removes key and returns its value.
func (d *Dict) Delete(key any) (value any, ok bool, err error) {
	canon, err := keyOf(key)
	if err != nil {
		return nil, false, err
	}
	i := d.find(canon)
	if i < 0 {
		return nil, false, nil
	}
	value = d.entries[i].value
	d.remove(i)
	return value, true, nil
}

func (d *Dict) remove(i int) {
	if d.index != nil {
		delete(d.index, d.entries[i].canon)
	}
	if i == len(d.entries)-1 {
		d.entries[i] = entry{}
		d.entries = d.entries[:i]
		for n := len(d.entries); n > 0 && d.entries[n-1].gone; n-- {
			d.entries = d.entries[:n-1]
			d.holes--
		}
		return
	}
	d.entries[i] = entry{gone: true}
	d.holes++
	if d.holes > fewEntries && d.holes > len(d.entries)/2 {
		d.entries = slices.DeleteFunc(d.entries, func(e entry) bool { return e.gone })
		d.holes = 0
		d.rebuild()
	}
}

// rebuild makes the index anew.
func (d *Dict) rebuild() {
	if len(d.entries) <= fewEntries {
		d.index = nil
		return
	}
	d.index = make(map[any]int, 2*len(d.entries))
	for i, e := range d.entries {
		if !e.gone {
			d.index[e.canon] = i
		}
	}
}

// PopLast removes the key that was put in last.
func (d *Dict) PopLast() (key, value any, ok bool) {
	i := len(d.entries) - 1
	if i < 0 {
		return nil, nil, false
	}
	key, value = d.entries[i].key, d.entries[i].value
	d.remove(i)
	return key, value, true
}

// Clear removes all keys.
func (d *Dict) Clear() { *d = Dict{} }

// All yields the keys and values in order.
func (d *Dict) All() iter.Seq2[any, any] {
	return func(yield func(k, v any) bool) {
		for _, e := range d.entries {
			if !e.gone && !yield(e.key, e.value) {
				return
			}
		}
	}
}

// Clone returns a copy that shares the values.
func (d *Dict) Clone() *Dict {
	c := &Dict{entries: make([]entry, 0, d.Len())}
	for _, e := range d.entries {
		if !e.gone {
			c.entries = append(c.entries, e)
		}
	}
	c.rebuild()
	return c
}

// Next returns the first key at or after a position, and the position after it;
// ok is false at the end. It is for walks with pauses: the caller sees to it
// that the dict has not changed.
func (d *Dict) Next(at int) (key any, next int, ok bool) {
	for ; at < len(d.entries); at++ {
		if !d.entries[at].gone {
			return d.entries[at].key, at + 1, true
		}
	}
	return nil, at, false
}

// A Set is a set. The zero value is empty.
type Set struct{ d Dict }

// A FrozenSet is a frozenset.
type FrozenSet struct{ Set }

// NewSet returns a set of items, or a *TypeError if one cannot be hashed.
func NewSet(items ...any) (*Set, error) {
	s := new(Set)
	for _, x := range items {
		if err := s.Add(x); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// Len returns the number of items.
func (s *Set) Len() int { return s.d.Len() }

// Add puts x in.
func (s *Set) Add(x any) error {
	if ok, err := s.Has(x); ok || err != nil {
		return err
	}
	return s.d.Set(x, nil)
}

// Has reports whether x is in.
func (s *Set) Has(x any) (bool, error) {
	_, ok, err := s.d.Get(x)
	return ok, err
}

// Remove takes x out and reports whether it was in.
func (s *Set) Remove(x any) (bool, error) {
	_, ok, err := s.d.Delete(x)
	return ok, err
}

// Pop takes some item out.
func (s *Set) Pop() (any, bool) {
	x, _, ok := s.d.PopLast()
	return x, ok
}

// Clear takes all items out.
func (s *Set) Clear() { s.d.Clear() }

// Clone returns a copy.
func (s *Set) Clone() *Set { return &Set{*s.d.Clone()} }

// All yields the items.
func (s *Set) All() iter.Seq[any] {
	return func(yield func(any) bool) {
		for x := range s.d.All() {
			if !yield(x) {
				return
			}
		}
	}
}
