package crew

import (
	"context"
	"slices"
	"sync"

	"github.com/tristrand/tristrand/strand"
)

// A Room bounds what waits in the queue of a pool, and keeps the Submits that wait
// for it, first come first served. It is guarded by the pool's mutex, which every
// method is called with.
type Room struct {
	Bound    int
	reserved int // for Submits that have been granted and have not run
	putters  []*putter
}

// A putter is a Submit that waits for room.
type putter struct {
	w  strand.Wait
	ok bool // there is room; otherwise the pool has been closed
}

// Free reports whether there is room for one more than are queued.
func (r *Room) Free(queued int) bool { return queued+r.reserved < r.Bound }

// Wanted reports whether there is room and somebody who waits for it.
func (r *Room) Wanted(queued int) bool { return len(r.putters) > 0 && r.Free(queued) }

// Await waits until there is room, or the pool takes no more, which the caller has
// to look at then. It is called with mu held, and returns with mu held unless there
// is an error.
func (r *Room) Await(ctx context.Context, mu *sync.Mutex, s *strand.Strand, on strand.Resource) error {
	n := &putter{w: s.NewWait()}
	r.putters = append(r.putters, n)
	mu.Unlock()
	err := n.w.Park(ctx, on)
	mu.Lock()
	if err == nil {
		if n.ok {
			r.reserved--
		}
		return nil
	}
	if i := slices.Index(r.putters, n); i >= 0 {
		r.putters = slices.Delete(r.putters, i, i+1)
	}
	mu.Unlock()
	return err
}

// Admit lets the first of those who wait go on. It gives mu up meanwhile.
func (r *Room) Admit(mu *sync.Mutex) {
	n := r.putters[0]
	r.putters[0] = nil
	r.putters = r.putters[1:]
	r.reserved++
	n.ok = true
	mu.Unlock()
	granted := n.w.Grant()
	mu.Lock()
	if !granted {
		r.reserved--
	}
}

// Shut returns the waits of all, to be granted without mu: there is no room any
// more.
func (r *Room) Shut() []strand.Wait {
	var waits []strand.Wait
	for _, n := range r.putters {
		waits = append(waits, n.w)
	}
	r.putters = nil
	return waits
}

// Grant ends waits.
func Grant(waits []strand.Wait) {
	for _, w := range waits {
		w.Grant()
	}
}
