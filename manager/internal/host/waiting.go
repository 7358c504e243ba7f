package host

import (
	"slices"

	"github.com/tristrand/tristrand/internal/pickle"
	"github.com/tristrand/tristrand/strand"
)

// Waiting returns the names of the strands whose calls wait for an object.
func Waiting(o Object) []string {
	var on []strand.Resource
	var names []string
	switch o := o.(type) {
	case *Mutex:
		on, names = []strand.Resource{o}, o.waiting()
	case *Condition:
		on, names = []strand.Resource{o, o.m}, o.m.waiting()
	case *Semaphore:
		if r, ok := o.s.(strand.Resource); ok {
			on = []strand.Resource{r}
		}
	case *Event:
		on = []strand.Resource{&o.e}
	case *Barrier:
		on = []strand.Resource{o.b}
	case *Queue:
		on = []strand.Resource{o.q}
	default:
		return nil
	}
	for s := range strand.All() {
		if slices.Contains(on, s.Waiting()) {
			names = append(names, s.Name())
		}
	}
	slices.Sort(names)
	return names
}

// Holder returns who holds the lock: name, host, process and place; nil if
// nobody does.
func (m *Mutex) Holder() pickle.Tuple {
	m.locks.mu.Lock()
	defer m.locks.mu.Unlock()
	o := m.owner
	if o == nil {
		return nil
	}
	name := o.Name
	if o.ended {
		name += ", who is gone"
	}
	return pickle.Tuple{name, o.Host, int64(o.PID), m.place}
}

// Holder returns who holds the condition's lock, nil if nobody does.
func (o *Condition) Holder() pickle.Tuple { return o.m.Holder() }
