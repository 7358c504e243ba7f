package tristrand_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tristrand/tristrand"
)

// A crossing is an engine as one that crosses the border of the process is: what
// goes to a worker and comes from it is encoded. A worker is a goroutine; what
// dies calls runtime.Goexit there.
type crossing struct {
	workers int
	target  time.Duration // 0: it does not choose chunks
	max     int
	blind   bool // it does not hear of the inputs of a chunk before its end
	plain   bool // nothing is encoded, to measure what Map itself costs

	once   sync.Once
	jobs   chan tristrand.Job
	done   sync.WaitGroup
	closed atomic.Bool

	mu    sync.Mutex
	sizes []int // of the chunks, 1 for a single input
	names map[string]int
}

var errDied = errors.New("the worker died")

func newCrossing(t testing.TB, c *crossing) *crossing {
	t.Helper()
	t.Cleanup(func() { _ = c.Close(context.Background()) })
	return c
}

func (c *crossing) Chunking() (time.Duration, int) { return c.target, c.max }

func (c *crossing) start() {
	c.once.Do(func() {
		c.jobs = make(chan tristrand.Job, 1024)
		for range c.workers {
			c.done.Go(func() {
				for j := range c.jobs {
					for c.run(j).Again { // at once: it holds the worker
					}
				}
			})
		}
	})
}

func (c *crossing) Submit(ctx context.Context, j tristrand.Job) error {
	c.start()
	if j.Task() == "" {
		return tristrand.ErrNotPortable
	}
	if c.closed.Load() {
		return tristrand.ErrClosed
	}
	if !c.plain {
		if _, err := json.Marshal(j.Input()); err != nil {
			return tristrand.Permanent(err)
		}
	}
	select {
	case c.jobs <- j:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (c *crossing) TrySubmit(ctx context.Context, j tristrand.Job) error { return c.Submit(ctx, j) }
func (c *crossing) Terminate() error                                     { return nil }

// Close must not be called while jobs are submitted.
func (c *crossing) Close(context.Context) error {
	c.start()
	if !c.closed.Swap(true) {
		close(c.jobs)
	}
	c.done.Wait()
	return nil
}

func (c *crossing) Stats() tristrand.Stats {
	return tristrand.Stats{Workers: c.workers, QueueCap: 1024}
}

// count notes the job, whose input has been decoded.
func (c *crossing) count(name string, in any) {
	n := 1
	switch p := in.(type) {
	case *[]int:
		n = len(*p)
	case *[]any:
		n = len(*p)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sizes = append(c.sizes, n)
	if c.names == nil {
		c.names = map[string]int{}
	}
	c.names[name]++
}

// A message is what a worker sends: parts of it as soon as they are known.
type message struct {
	values []json.RawMessage // one by one
	all    json.RawMessage   // or all
	failed []failure
	err    error
}

type failure struct {
	at   int
	text string
}

// An informer is the ctx of a worker.
type informer struct {
	context.Context
	to *message
}

func (i informer) Progress(out tristrand.Outcomes) {
	n := out.Len()
	i.to.values = append(i.to.values, encode(out.At(n-1)))
	if fs := out.Failures(); len(fs) > len(i.to.failed) {
		f := fs[len(fs)-1]
		i.to.failed = append(i.to.failed, failure{f.Index, f.Err.Error()})
	}
	if len(i.to.values) != n {
		panic(fmt.Sprintf("Progress was called %d times for %d inputs", len(i.to.values), n))
	}
}

func encode(v any) json.RawMessage {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}

// run is both sides of the border.
func (c *crossing) run(j tristrand.Job) tristrand.Next {
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	if !j.Start(func(cause error) { cancel(cause) }) {
		return tristrand.Next{}
	}
	h, ok := tristrand.Lookup(j.Task())
	if !ok {
		return j.Finish(nil, fmt.Errorf("task %q is unknown", j.Task()))
	}
	if c.plain {
		return j.Finish(h.Call(ctx, j.Input()))
	}
	in := h.NewInput()
	if err := json.Unmarshal(encode(j.Input()), in); err != nil {
		return j.Finish(nil, err)
	}
	c.count(j.Task(), in)
	var m message
	done := make(chan bool)
	go func() {
		alive := false
		defer func() { done <- alive }()
		m.call(ctx, h, in, c.blind)
		alive = true // or it has died
	}()
	if !<-done {
		m.err = errDied
	}
	return j.Finish(m.decode(j.NewOutput(), c.blind))
}

// call is the worker's side.
func (m *message) call(ctx context.Context, h tristrand.Handler, in any, blind bool) {
	if !blind {
		ctx = informer{ctx, m}
	}
	defer func() {
		if v := recover(); v != nil {
			m.err = &tristrand.PanicError{Value: v}
		}
	}()
	out, err := h.Call(ctx, in)
	m.err = err
	if o, ok := out.(tristrand.Outcomes); ok {
		m.values, m.failed, m.all = nil, nil, encode(o.Values())
		for _, f := range o.Failures() {
			m.failed = append(m.failed, failure{f.Index, f.Err.Error()})
		}
	} else if err == nil {
		m.all = encode(out)
	}
}

// decode is the other side.
func (m *message) decode(out any, blind bool) (any, error) {
	o, chunk := out.(tristrand.Outcomes)
	switch {
	case m.err != nil && (!chunk || blind):
		return nil, m.err
	case chunk && m.all == nil:
		m.all = encode(m.values)
		if m.values == nil {
			m.all = []byte("[]")
		}
	}
	to := out
	if chunk {
		to = o.Values()
	}
	if err := json.Unmarshal(m.all, to); err != nil {
		return nil, err
	}
	for _, f := range m.failed {
		o.Fail(f.at, errors.New(f.text))
	}
	return out, m.err
}

// die ends the worker.
func die() { runtime.Goexit() }
