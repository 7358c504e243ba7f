package process

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/internal/child"
	"github.com/tristrand/tristrand/shm"
	"github.com/tristrand/tristrand/strand"
)

// A Process is a task that runs in a process of its own, of the same binary. Its
// methods may be called from anywhere.
type Process struct {
	name   string
	daemon bool
	grace  time.Duration
	child  *child.Child
	post   post
	out    outbox
	came   *arrivals
	in     load                  // the task's input
	cause  atomic.Pointer[error] // why it was told to stop
	said   atomic.Pointer[note]  // how the task ended, if the process said so
	stop   func() bool           // of the watch on ctx
	tasks  sync.WaitGroup

	mu    sync.Mutex // guards the rest
	over  bool
	err   error
	exit  child.Exit
	done  chan struct{}
	waits []strand.Wait
	timer *time.Timer
}

var _ tristrand.Waitable = (*Process)(nil)

// An Option changes how a process is started.
type Option func(*options)

type options struct {
	spec   child.Spec
	daemon bool
	grace  time.Duration
	stdout io.Writer
	stderr io.Writer
}

// Name names the process; ps shows it. The default is the task's name and a number.
func Name(name string) Option { return func(o *options) { o.spec.Name = name } }

// Daemon makes a process that Main does not wait for: it is killed when the program
// ends.
func Daemon() Option { return func(o *options) { o.daemon = true } }

// Env sets the environment; the default is that of this process.
func Env(env ...string) Option { return func(o *options) { o.spec.Env = env } }

// Dir sets the folder that the process runs in; the default is that of this process.
func Dir(dir string) Option { return func(o *options) { o.spec.Dir = dir } }

// Output sets where the process writes; nil is where this process does. What is no
// *os.File gets whole lines.
func Output(stdout, stderr io.Writer) Option {
	return func(o *options) { o.stdout, o.stderr = stdout, stderr }
}

// MemoryLimit bounds the data of the process (RLIMIT_DATA), at 64 MiB or more: one that
// needs more dies, and its *ExitError says so.
func MemoryLimit(bytes int64) Option { return func(o *options) { o.spec.MemoryLimitBytes = bytes } }

// CPUs sets the processors that the process may use; the default is all.
func CPUs(cpus ...int) Option { return func(o *options) { o.spec.CPUs = cpus } }

// Grace sets how long a process that was told to stop has before SIGTERM, and then
// before SIGKILL; the default is 250 ms, below 0 is SIGKILL at once.
func Grace(d time.Duration) Option { return func(o *options) { o.grace = d } }

var numbers atomic.Uint64

// Start starts a process that calls a task, made by its Bind, and ends when the task
// returns: with status 0, or 1 if it returns an error, or 2 if it panics. ctx is the
// task's: its deadline and cancellation are told to the process, which is killed when
// it does not stop within Grace. Somebody calls Join; at the end of Main it is joined,
// or killed if it is a daemon.
func Start(ctx context.Context, task tristrand.Bound, opts ...Option) (*Process, error) {
	if !entered() {
		return nil, ErrNoInit
	}
	if err := strand.Err(ctx); err != nil {
		return nil, err
	}
	if task.Task() == "" {
		return nil, tristrand.ErrNotPortable
	}
	var o options
	for _, opt := range opts {
		opt(&o)
	}
	if o.spec.Name == "" {
		o.spec.Name = fmt.Sprintf("%s-%d", task.Task(), numbers.Add(1))
	}
	if o.grace == 0 {
		o.grace = defaultJobGrace
	}
	p := &Process{name: o.spec.Name, daemon: o.daemon, grace: o.grace, came: newArrivals()}
	if err := p.start(ctx, task, &o); err != nil {
		p.in.drop()
		return nil, err
	}
	list(p)
	p.stop = context.AfterFunc(ctx, func() { p.tell(ctxError(ctx)) })
	go p.live() // ends with the process, which Join waits for
	return p, nil
}

func (p *Process) start(ctx context.Context, task tristrand.Bound, o *options) error {
	in := &p.in
	if err := in.pack("input", task.Input()); err != nil {
		return fmt.Errorf("process: task %q: %w", task.Task(), err)
	}
	cfg := &config{
		Name: o.spec.Name, Kind: kindProcess, Task: task.Task(),
		Input: in.reference(), Raw: in.raw, Placed: in.seg != nil,
	}
	if d, ok := ctx.Deadline(); ok {
		cfg.Left = max(time.Until(d), 1)
	}
	if err := in.packMeta(ctx, nil); err != nil {
		return fmt.Errorf("process: task %q: what travels with its ctx: %w", task.Task(), err)
	}
	cfg.Meta = in.meta
	if err := p.launch(ctx, o, cfg, in); err != nil {
		return fmt.Errorf("process: cannot start %s: %w", p.name, err)
	}
	return nil
}

func (p *Process) launch(ctx context.Context, o *options, cfg *config, in *load) error {
	ours, theirs, err := postPair()
	if err != nil {
		return err
	}
	defer closeFiles(theirs)
	p.post = ours
	p.out.init(p.post)
	if err = p.out.load(in); err == nil {
		p.child, err = startChild(ctx, o.spec, theirs, o.stdout, o.stderr)
	}
	if err != nil {
		p.out.close()
		_ = p.post.Close()
		return err
	}
	p.child.Guarded(guardPatience)
	p.out.put(note{Op: noteConfig, Config: cfg}, nil)
	in.extra.CloseFiles() // so that theirs is the only one, and its end is seen
	p.tasks.Go(p.out.send)
	p.tasks.Go(p.readNotes)
	return nil
}

// readNotes hears how the task ended.
func (p *Process) readNotes() {
	var room room
	for {
		n, fd, err := p.post.receive(&room)
		if err != nil {
			return // it is about to end, or has been killed
		}
		closeFD(fd)
		if n.Op == noteHello {
			p.said.Store(&n)
			p.out.put(note{Op: noteStop}, nil) // it may go now
		}
	}
}

// live waits for the end of the process and makes it known.
func (p *Process) live() {
	<-p.child.Done()
	p.stop()
	p.out.close()
	_ = p.post.Close()
	p.tasks.Wait()
	p.came.close()
	p.in.drop()
	exit := p.child.Exit()
	shm.ProcessDied(exit.PID)
	err := p.verdict(exit)
	p.mu.Lock()
	p.over, p.err, p.exit = true, err, exit
	if p.timer != nil {
		p.timer.Stop()
	}
	waits := p.waits
	p.waits = nil
	if p.done != nil {
		close(p.done)
	}
	p.mu.Unlock()
	unlist(p)
	for _, w := range waits {
		w.Grant()
	}
}

// verdict returns the outcome of the task.
func (p *Process) verdict(exit child.Exit) error {
	said, cause := p.said.Load(), p.cause.Load()
	switch {
	case said != nil && said.Fault != nil:
		return faultErr(said.Fault)
	case said != nil && exit.Signal == 0:
		return nil
	case cause != nil:
		return fmt.Errorf("%w: %w", stopped(*cause), exitErrorOf(p.name, exit))
	default:
		return exitErrorOf(p.name, exit)
	}
}

// tell asks the process to stop, and kills it when it does not.
func (p *Process) tell(cause error) {
	if !p.cause.CompareAndSwap(nil, &cause) {
		return
	}
	p.out.put(note{Op: noteCancel, Seq: 1, N: causeOf(cause), Text: cause.Error()}, nil)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.over {
		return
	}
	p.timer = time.AfterFunc(max(p.grace, 0), func() {
		if p.grace < 0 {
			kill(p.child)
			return
		}
		terminate(p.child)
		p.mu.Lock()
		defer p.mu.Unlock()
		if !p.over {
			p.timer = time.AfterFunc(p.grace, func() { kill(p.child) })
		}
	})
}

// PID returns the id of the process.
func (p *Process) PID() int { return p.child.PID() }

// Name returns the name of the process.
func (p *Process) Name() string { return p.name }

// String names the process for errors.
func (p *Process) String() string { return fmt.Sprintf("process %s (pid %d)", p.name, p.PID()) }

// Alive reports whether the process has not ended.
func (p *Process) Alive() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.over
}

// Stopped reports whether a signal holds the process up (SIGSTOP), where the system
// can tell.
func (p *Process) Stopped() bool { return p.child.Stopped() }

// Failed reports whether the process has ended otherwise than by its task's return
// without an error.
func (p *Process) Failed() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.over && p.err != nil
}

// ExitCode returns the exit status of a process that has ended, or -N if signal N ended
// it; before, it is -1, see Alive.
func (p *Process) ExitCode() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.over && p.exit.Signal != 0:
		return -int(p.exit.Signal)
	case p.over:
		return p.exit.Code
	default:
		return -1
	}
}

// Join waits until the process has ended, and returns the error of its task: what the
// task returned or its panic, or an *ExitError if it did not return. ctx bounds this
// wait only.
func (p *Process) Join(ctx context.Context) error {
	s := strand.Enter(ctx, strand.Op{Verb: "join", On: p})
	p.mu.Lock()
	if !p.over {
		if err := strand.Err(ctx); err != nil {
			p.mu.Unlock()
			return err
		}
		w := s.NewWait()
		p.waits = append(p.waits, w)
		p.mu.Unlock()
		if err := w.Park(ctx, p); err != nil {
			p.forget(w)
			return err
		}
		p.mu.Lock()
	}
	defer p.mu.Unlock()
	return p.err
}

// Releasers returns nothing: what ends a process is in that process.
func (p *Process) Releasers(buf []strand.Releaser) ([]strand.Releaser, bool) { return buf, false }

// Done returns a channel that is closed when the process has ended; the first call
// makes it. Within a hub use Join, which lets others run.
func (p *Process) Done() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.done == nil {
		p.done = make(chan struct{})
		if p.over {
			close(p.done)
		}
	}
	return p.done
}

// Watch grants w when the process has ended, at once if it has. stop ends the watch.
func (p *Process) Watch(w strand.Wait) (stop func()) {
	p.mu.Lock()
	if p.over {
		p.mu.Unlock()
		w.Grant()
		return func() {}
	}
	p.waits = append(p.waits, w)
	p.mu.Unlock()
	return func() { p.forget(w) }
}

func (p *Process) forget(w strand.Wait) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, x := range p.waits {
		if x == w {
			p.waits = append(p.waits[:i], p.waits[i+1:]...)
			return
		}
	}
}

// Cancel ends the ctx of the task, and kills the process when it does not stop within
// Grace.
func (p *Process) Cancel() { p.tell(tristrand.ErrCancelled) }

// Terminate sends SIGTERM to the process, which ends it at once unless the task minds
// the signal. It does not wait.
func (p *Process) Terminate() { terminate(p.child) }

// Kill sends SIGKILL to the process and to all that it has started. It does not wait.
func (p *Process) Kill() { kill(p.child) }

// closeAtEnd joins the process, or kills a daemon.
func (p *Process) closeAtEnd(ctx context.Context) error {
	if p.daemon {
		p.Kill()
		_ = p.Join(ctx) // it was killed
		return nil
	}
	if err := p.Join(ctx); err != nil && !errors.Is(err, tristrand.ErrCancelled) {
		return fmt.Errorf("%v, which nobody joined: %w", p, err)
	}
	return nil
}
