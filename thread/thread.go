package thread

import (
	"context"
	"fmt"
	"iter"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/strand"
)

// A Thread is a goroutine with a name that can be joined.
type Thread struct {
	s      atomic.Pointer[strand.Strand]
	daemon bool
	end    *ending
}

// An ending is how a thread ended. It outlives the handle.
type ending struct {
	name string

	mu      sync.Mutex // guards the rest
	joining int        // those who wait for it in Join
	known   bool       // somebody has been told of err
	over    bool
	err     error
	done    chan struct{}
	waits   []strand.Wait
}

// An Option changes how a thread is started.
type Option func(*options)

type options struct {
	daemon bool
	gil    *GIL
}

// Daemon makes a thread that Main does not wait for.
func Daemon() Option { return func(o *options) { o.daemon = true } }

// Under makes a thread that runs when g lets it. Threads that it starts are
// under g, too.
func Under(g *GIL) Option { return func(o *options) { o.gil = g } }

var registry struct {
	sync.Mutex
	threads map[*Thread]struct{}
	failed  map[*ending]struct{} // ended with an error that nobody has been told
	pools   map[*Pool]struct{}
	main    *Thread
}

var numbers atomic.Uint64

// Start starts fn as a thread; "" is named Thread-N. The ctx that fn gets is a
// child of ctx and names the thread. Start does not wait. It panics if fn is nil.
func Start(ctx context.Context, name string, fn func(ctx context.Context) error, opts ...Option) *Thread {
	if fn == nil {
		panic(fmt.Sprintf("thread: Start(%q): the function is nil", name))
	}
	var o options
	for _, opt := range opts {
		opt(&o)
	}
	if name == "" {
		name = fmt.Sprintf("Thread-%d", numbers.Add(1))
	}
	t := &Thread{daemon: o.daemon, end: &ending{name: name}}
	so := strand.Options{Kind: strand.Thread, Name: name, Label: true}
	if o.gil != nil {
		so.Scheduler = o.gil
	}
	t.s.Store(strand.Go(ctx, so, func(ctx context.Context) { t.run(ctx, fn) }))
	register(t)
	return t
}

func register(t *Thread) {
	registry.Lock()
	defer registry.Unlock()
	if !t.Alive() {
		return // it was quick
	}
	if registry.threads == nil {
		registry.threads = make(map[*Thread]struct{})
	}
	registry.threads[t] = struct{}{}
}

// run calls fn and settles the thread, also when fn panics or ends its goroutine.
func (t *Thread) run(ctx context.Context, fn func(context.Context) error) {
	s := strand.Current(ctx)
	t.s.Store(s)
	s.Local(currentKey{}, func() any { return t })
	err := tristrand.ErrGoexit
	defer func() {
		if v := recover(); v != nil {
			err = &tristrand.PanicError{Value: v, Stack: debug.Stack(), Task: t.end.name}
		}
		t.finish(ctx, err)
	}()
	err = fn(ctx)
}

func (t *Thread) finish(ctx context.Context, err error) {
	registry.Lock()
	delete(registry.threads, t)
	e := t.end
	e.mu.Lock()
	registry.Unlock() // register sees both or neither
	e.over, e.err = true, err
	waits := e.waits
	e.waits = nil
	if e.done != nil {
		close(e.done)
	}
	unknown := err != nil && !e.known && e.joining == 0
	e.known = e.known || unknown && t.daemon
	e.mu.Unlock()
	for _, w := range waits {
		w.Grant()
	}
	if !unknown {
		return
	}
	if t.daemon {
		tristrand.Report(ctx, fmt.Errorf("daemon thread %q: %w", e.name, err))
		return
	}
	registry.Lock()
	if registry.failed == nil {
		registry.failed = make(map[*ending]struct{})
	}
	registry.failed[e] = struct{}{}
	registry.Unlock()
	runtime.AddCleanup(t, (*ending).report, e)
}

// outcome returns the error of a thread that has ended, to one who joins it.
func (e *ending) outcome() error {
	e.learn()
	if e.err != nil {
		e.told()
	}
	return e.err
}

// told takes the error from those that nobody has been told.
func (e *ending) told() {
	registry.Lock()
	defer registry.Unlock()
	delete(registry.failed, e)
}

// report tells of an error that nobody has joined for.
func (e *ending) report() {
	e.told()
	if !e.learn() {
		tristrand.Report(context.Background(), fmt.Errorf("thread %q, which nobody joined: %w", e.name, e.err))
	}
}

// Join waits until the thread has ended and returns its function's error; a
// panic is a *tristrand.PanicError. When ctx ends first it returns ctx's error
// and the thread goes on: Alive tells the two apart. A thread that joins itself
// gets a *tristrand.DeadlockError. It may be called any number of times.
func (t *Thread) Join(ctx context.Context) error {
	s := strand.Enter(ctx, strand.Op{Verb: "join", On: t})
	if !t.Alive() {
		return t.end.outcome()
	}
	if err := strand.Err(ctx); err != nil {
		return err
	}
	t.end.join(1)
	w := s.NewWait()
	stop := t.Watch(w)
	defer stop()
	err := w.Park(ctx, t)
	if over := t.end.join(-1); err != nil && !over {
		return err
	}
	return t.end.outcome()
}

// learn notes that somebody is told of err, and reports whether somebody was before.
func (e *ending) learn() (before bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	before = e.known
	e.known = true
	return before
}

// join counts one who waits in Join, or one less, and reports whether the thread has
// ended: with an error nobody else is told of, as somebody waited.
func (e *ending) join(n int) (over bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.joining += n
	return e.over
}

// wanted reports whether somebody waits for the thread's error, or knows it.
func (e *ending) wanted() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.known || e.joining > 0
}

// Alive reports whether the thread has not ended.
func (t *Thread) Alive() bool {
	t.end.mu.Lock()
	defer t.end.mu.Unlock()
	return !t.end.over
}

// Failed reports whether the thread has ended with an error.
func (t *Thread) Failed() bool {
	t.end.mu.Lock()
	defer t.end.mu.Unlock()
	return t.end.over && t.end.err != nil
}

// Done returns a channel that is closed when the thread has ended.
func (t *Thread) Done() <-chan struct{} {
	e := t.end
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.done == nil {
		e.done = make(chan struct{})
		if e.over {
			close(e.done)
		}
	}
	return e.done
}

// Watch grants w when the thread has ended, at once if it has.
func (t *Thread) Watch(w strand.Wait) (stop func()) {
	e := t.end
	e.mu.Lock()
	if e.over {
		e.mu.Unlock()
		w.Grant()
		return func() {}
	}
	e.waits = append(e.waits, w)
	e.mu.Unlock()
	return func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		for i, x := range e.waits {
			if x == w {
				e.waits = append(e.waits[:i], e.waits[i+1:]...)
				return
			}
		}
	}
}

// ID returns the id of the thread's strand.
func (t *Thread) ID() strand.ID { return t.s.Load().ID() }

// Name returns the thread's name.
func (t *Thread) Name() string { return t.s.Load().Name() }

// SetName changes the name.
func (t *Thread) SetName(name string) { t.s.Load().SetName(name) }

// IsDaemon reports whether Main does not wait for the thread.
func (t *Thread) IsDaemon() bool { return t.daemon }

// IsMain reports whether the thread is that of Main.
func (t *Thread) IsMain() bool { return t.s.Load().Kind() == strand.Main }

// String returns the name and what the thread does.
func (t *Thread) String() string { return fmt.Sprintf("thread %q", t.Name()) }

// Releasers returns the thread itself: its end ends a Join.
func (t *Thread) Releasers(buf []strand.Releaser) ([]strand.Releaser, bool) {
	if !t.Alive() {
		return buf, false
	}
	return append(buf, strand.Releaser{Ref: t.s.Load().Ref()}), true
}

type currentKey struct{}

// Current returns the thread that calls, nil if the caller is none.
func Current(ctx context.Context) *Thread {
	s := strand.Current(ctx)
	if k := s.Kind(); k != strand.Thread && k != strand.Main {
		return nil
	}
	t, _ := s.Local(currentKey{}, func() any { return (*Thread)(nil) }).(*Thread)
	return t
}

// All yields the threads that have not ended, Main's included, in no order.
func All() iter.Seq[*Thread] {
	return func(yield func(*Thread) bool) {
		registry.Lock()
		all := make([]*Thread, 0, len(registry.threads))
		for t := range registry.threads {
			all = append(all, t)
		}
		registry.Unlock()
		for _, t := range all {
			if !yield(t) {
				return
			}
		}
	}
}

// Count returns the number of threads that have not ended, Main's included.
func Count() int {
	registry.Lock()
	defer registry.Unlock()
	return len(registry.threads)
}
