package coro

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/tristrand/tristrand/strand"
)

// A JoinOption changes what JoinAll waits for.
type JoinOption func(*joining)

// Count lets JoinAll return when n of them have ended; n above their number, or 0,
// is all of them.
func Count(n int) JoinOption {
	return func(j *joining) {
		if n < 0 {
			panic(fmt.Sprintf("coro: Count(%d): it cannot be below 0, which is all", n))
		}
		j.want = n
	}
}

// Within lets JoinAll return when d has passed, with context.DeadlineExceeded.
func Within(d time.Duration) JoinOption { return func(j *joining) { j.within, j.bounded = d, true } }

// JoinAll waits until all of cs have ended, or as many as Count says, and returns
// those that have, in the order in which they ended. When ctx or the time of
// Within ends first it returns that error beside them. How each ended is its Err.
// A coroutine that is given twice counts once.
func JoinAll(ctx context.Context, cs []*Coroutine, opts ...JoinOption) ([]*Coroutine, error) {
	j := &joining{}
	for _, o := range opts {
		o(j)
	}
	if j.bounded {
		var cancel context.CancelFunc
		ctx, cancel = strand.WithTimeout(ctx, j.within)
		defer cancel()
	}
	s := strand.Enter(ctx, strand.Op{Verb: "joinall", On: j})
	seen := make(map[*Coroutine]struct{}, len(cs))
	for _, c := range cs {
		if _, twice := seen[c]; twice {
			continue
		}
		seen[c] = struct{}{}
		j.all = append(j.all, c)
	}
	if j.want == 0 || j.want > len(j.all) {
		j.want = len(j.all)
	}
	return j.wait(ctx, s)
}

// A joining is one call of JoinAll.
type joining struct {
	all     []*Coroutine
	want    int
	within  time.Duration
	bounded bool

	mu    sync.Mutex // guards the rest
	ended []*Coroutine
	w     *strand.Wait
	over  bool
}

func (j *joining) wait(ctx context.Context, s *strand.Strand) ([]*Coroutine, error) {
	calls := make([]*callback, len(j.all))
	for i, c := range j.all {
		c.end.tell()
		calls[i] = &callback{func() { j.note(c) }}
		if !c.end.call(calls[i]) {
			j.note(c)
		}
	}
	defer func() {
		j.mu.Lock()
		j.over = true
		j.mu.Unlock()
		for i, c := range j.all {
			c.end.uncall(calls[i])
		}
	}()
	j.mu.Lock()
	if len(j.ended) >= j.want {
		defer j.mu.Unlock()
		return j.ended, nil
	}
	if err := strand.Err(ctx); err != nil {
		defer j.mu.Unlock()
		return j.ended, err
	}
	w := s.NewWait()
	j.w = &w
	j.mu.Unlock()
	err := w.Park(ctx, j)
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.ended) >= j.want {
		err = nil
	}
	return j.ended, err
}

// note counts one that has ended.
func (j *joining) note(c *Coroutine) {
	j.mu.Lock()
	if j.over {
		j.mu.Unlock()
		return
	}
	j.ended = append(j.ended, c)
	last := len(j.ended) >= j.want && j.w != nil
	j.over = last
	j.mu.Unlock()
	if last {
		j.w.Grant()
	}
}

// String names what is waited for.
func (j *joining) String() string { return fmt.Sprintf("the end of %d coroutines", j.want) }

// Releasers returns one that has to end, if all have to, and all of those that
// have not ended otherwise.
func (j *joining) Releasers(buf []strand.Releaser) ([]strand.Releaser, bool) {
	for _, c := range j.all {
		if c.s == nil || c.Ended() {
			continue
		}
		buf = append(buf, strand.Releaser{Ref: c.s.Ref()})
		if j.want == len(j.all) {
			break
		}
	}
	return buf, len(buf) > 0
}

// A Valued is a coroutine that has a value.
type Valued[T any] struct {
	*Coroutine
	value T
}

// SpawnValue is Spawn for a function that has a value.
func SpawnValue[T any](ctx context.Context, fn func(ctx context.Context) (T, error), opts ...Option) *Valued[T] {
	if fn == nil {
		panic("coro: SpawnValue: the function is nil")
	}
	v := &Valued[T]{}
	v.Coroutine = Spawn(ctx, func(ctx context.Context) (err error) {
		v.value, err = fn(ctx)
		return err
	}, opts...)
	return v
}

// Result is Join that returns the value as well. With an error of ctx the value is
// the zero one.
func (v *Valued[T]) Result(ctx context.Context) (T, error) {
	if err := v.Join(ctx); err != nil && !v.Ended() {
		var none T
		return none, err
	}
	return v.value, v.err
}

// A Group is a set of coroutines that are waited for, or killed, together. The
// zero value is ready.
type Group struct {
	mu  sync.Mutex // guards the rest
	all map[*Coroutine]uint64
	n   uint64 // that have been added
}

// Spawn is the function Spawn; the coroutine is the group's until it ends.
func (g *Group) Spawn(ctx context.Context, fn func(ctx context.Context) error, opts ...Option) *Coroutine {
	c := Spawn(ctx, fn, opts...)
	g.Add(c)
	return c
}

// Add makes c one of the group.
func (g *Group) Add(c *Coroutine) {
	g.mu.Lock()
	if g.all == nil {
		g.all = make(map[*Coroutine]uint64)
	}
	g.n++
	g.all[c] = g.n
	g.mu.Unlock()
	c.OnDone(g.Discard)
}

// Discard takes c out of the group.
func (g *Group) Discard(c *Coroutine) {
	g.mu.Lock()
	delete(g.all, c)
	g.mu.Unlock()
}

// Len returns the number of those that have not ended.
func (g *Group) Len() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.all)
}

// Join waits until none is left, those that are added meanwhile included.
func (g *Group) Join(ctx context.Context) error {
	for {
		all := g.list()
		if len(all) == 0 {
			return nil
		}
		if _, err := JoinAll(ctx, all); err != nil {
			return err
		}
	}
}

// Kill kills all of them; see Coroutine.Kill. It does not wait.
func (g *Group) Kill(cause error) {
	for _, c := range g.list() {
		c.Kill(cause)
	}
}

// list returns those that have not ended, in the order in which they were added.
func (g *Group) list() []*Coroutine {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.SortedFunc(maps.Keys(g.all), func(a, b *Coroutine) int { return cmp.Compare(g.all[a], g.all[b]) })
}
