package coro

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/tristrand/tristrand"
)

// A closer is a generator, whatever its types are.
type closer interface{ Close() error }

// A suspended generator is noted with what is said of it if it is left.
type suspended struct {
	g    closer
	n    int // order of beginning
	name string
}

// hasBegun notes a generator that the current coroutine begins.
func (h *Hub) hasBegun(g closer) {
	if h.begun == nil {
		h.begun = make(map[closer]suspended)
	}
	by := h.String()
	if h.cur != nil {
		by = fmt.Sprintf("coroutine %q", h.cur.s.Name())
	}
	h.beguns++
	h.begun[g] = suspended{g, h.beguns, "a generator of " + by}
}

// closeBegun ends the generators that are left when the hub ends, the oldest first,
// and reports them. It runs on the hub's base.
func (h *Hub) closeBegun() {
	if len(h.begun) == 0 {
		return
	}
	left := &LeftError{}
	errs := []error{left}
	for _, s := range slices.SortedFunc(maps.Values(h.begun), func(a, b suspended) int { return cmp.Compare(a.n, b.n) }) {
		left.Left = append(left.Left, s.name)
		if err := s.g.Close(); err != nil {
			errs = append(errs, err)
		}
	}
	tristrand.Report(&h.ctx, fmt.Errorf("%v: %w", h, errors.Join(errs...)))
}
