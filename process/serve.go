package process

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/internal/child"
	"github.com/tristrand/tristrand/internal/parcel"
	"github.com/tristrand/tristrand/internal/portable"
	"github.com/tristrand/tristrand/internal/registry"
	"github.com/tristrand/tristrand/internal/ring"
	"github.com/tristrand/tristrand/internal/segment"
	"github.com/tristrand/tristrand/internal/segment/pool"
	"github.com/tristrand/tristrand/internal/wire"
	"github.com/tristrand/tristrand/strand"
)

// A server is the worker's side: it runs the jobs that come over the lane, one at a
// time, and acts on notes meanwhile.
type server struct {
	post    post
	out     outbox
	came    *arrivals
	cfg     chan *config
	mem     []byte
	jobs    receiver
	done    sender
	mail    *mailbox // what jobs is where no memory is shared
	names   map[uint32]tristrand.Handler
	known   map[uint32]string
	buf     bytes.Buffer
	scratch bytes.Buffer
	marks   uint64
	unsaid  time.Duration // that results took for which the pool was not woken
	alone   int           // goroutines, when no job has been run

	stopping atomic.Bool // end when there is no job
	stopped  chan struct{}
	status   int // to exit with

	mu      sync.Mutex
	current uint64          // the job that runs, 0 if none does
	ctx     *strand.Context // its
	early   uint64          // the job that shall stop before it has begun
	why     error
	lent    map[segment.Key]*segment.Segment // results that the pool has not taken yet
	kept    []parcel.Parcel                  // what went beside results, in their order
}

// serve is the life of a worker process. It does not return.
func serve(files []*os.File) {
	p, err := postOf(files)
	if err != nil {
		fail(err)
	}
	v := &server{
		post: p, came: newArrivals(), cfg: make(chan *config, 1),
		names: make(map[uint32]tristrand.Handler), known: make(map[uint32]string), lent: make(map[segment.Key]*segment.Segment),
		stopped: make(chan struct{}),
	}
	v.out.init(p)
	var room room
	for len(v.cfg) == 0 { // here, as another goroutine, on another thread, would take longer
		v.readNote(&room)
	}
	cfg := <-v.cfg // after the lane, if there is one
	go v.readNotes(&room)
	go v.out.send()
	for first := true; ; first = false {
		ended := make(chan bool)
		o := strand.Options{Kind: strand.Worker, Name: cfg.Name, Label: true}
		strand.Go(context.Background(), o, func(ctx context.Context) {
			returned := false // it does not when a task ends its goroutine
			defer func() { ended <- returned }()
			if first {
				v.begin(ctx, cfg)
			}
			if cfg.Kind == kindWorker {
				v.run(ctx)
			}
			returned = true
		})
		if <-ended || cfg.Kind == kindProcess {
			break
		}
	}
	v.leave(cfg)
}

// leave ends the worker when the parent has heard all that there is to say.
func (v *server) leave(cfg *config) {
	if cfg.Kind == kindProcess {
		<-v.stopped
	}
	child.Leave()
	os.Exit(v.status)
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// readNotes acts on what the pool says. The end of the pool is the end of the worker.
func (v *server) readNotes(room *room) {
	for {
		v.readNote(room)
	}
}

func (v *server) readNote(room *room) {
	n, fd, err := v.post.receive(room)
	if err != nil {
		v.orphaned()
	}
	if err := v.act(n, fd); err != nil {
		fail(err)
	}
}

// orphaned ends a worker whose parent is gone. What it has started is left to the
// parent's guardian.
func (v *server) orphaned() {
	child.Leave()
	os.Exit(0)
}

func (v *server) act(n note, fd int) error {
	switch n.Op {
	case noteSegment, noteFile, noteForget, noteMark:
		return v.came.take(n, fd)
	case noteLane:
		key, err := keyOf(n.Key)
		if err != nil {
			return err
		}
		lane, err := segment.Adopt(key, fd)
		if err != nil {
			return err
		}
		if err := checkLane(lane); err != nil {
			return err
		}
		v.mem = lane.Bytes()
		v.jobs = ring.NewConsumer(jobRing(v.mem))
		v.done = ring.NewProducer(resultRing(v.mem))
	case noteFrame:
		v.mail.put(n.Body)
	case noteConfig:
		if n.Config.Kind == kindWorker && v.mem == nil {
			v.mem, v.mail = make([]byte, claimsEnd), newMailbox()
			v.jobs, v.done = v.mail, &notes{direct: v.post}
		}
		if n.Config.Sample > 0 {
			go v.tellMemory(n.Config.Sample)
		}
		v.cfg <- n.Config
	case noteCancel:
		v.cancel(n)
	case noteStop:
		if !v.stopping.Swap(true) {
			close(v.stopped)
		}
		if v.jobs != nil {
			v.jobs.Stop()
		}
	case noteTaken:
		if n.Key == nil {
			v.extraTaken()
			return nil
		}
		key, err := keyOf(n.Key)
		if err != nil {
			return err
		}
		v.mu.Lock()
		s := v.lent[key]
		delete(v.lent, key)
		v.mu.Unlock()
		if s != nil {
			pool.Shared().Put(s)
		}
	}
	return nil
}

// extraTaken drops what went beside the first result that had something.
func (v *server) extraTaken() {
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.kept) > 0 {
		_ = v.kept[0].Close() // duplicates
		v.kept = v.kept[1:]
	}
}

// tellMemory tells the pool how much memory the process has, from time to time.
func (v *server) tellMemory(every time.Duration) {
	for range time.Tick(every) {
		if n := residentBytes(); n > 0 {
			v.out.put(note{Op: noteMemory, N: int(n)}, nil)
		}
	}
}

// begin runs the task that comes first: the Init of a pool, or all that a Process is
// for. Then it says that the worker is ready, or how the task ended.
func (v *server) begin(ctx context.Context, cfg *config) {
	hello := note{Op: noteHello}
	defer func() {
		if hello.Fault != nil {
			hello.Fault = shrunk(hello.Fault)
			v.status = 1
			if hello.Fault.Panic != nil {
				v.status = 2
			}
		}
		v.out.put(hello, nil)
	}()
	if cfg.Kind == kindWorker {
		v.warm(ctx)
	}
	if cfg.Task == "" {
		return
	}
	h, ok := tristrand.Lookup(cfg.Task)
	if !ok {
		hello.Fault = faults.Of(undefined(cfg.Task))
		return
	}
	f := jobFrame{seq: 1, body: cfg.Input, left: cfg.Left}
	if cfg.Raw {
		f.flags |= flagRaw
	}
	if cfg.Placed {
		f.flags |= flagSegment
	}
	var m meta
	in := h.NewInput()
	err := v.decode(&f, in)
	if err == nil && cfg.Meta != nil {
		err = wire.Decode(cfg.Meta, &m)
	}
	if err == nil {
		v.call(ctx, &f, cfg.Task, h, in, m, nil, func(_ time.Duration, _ any, failed error) { err = failed })
		runtime.KeepAlive(in) // what is held for as long as the process lives is not to be garbage
	}
	if err != nil {
		hello.Fault = faults.Of(err)
	}
}

func undefined(task string) error {
	return fmt.Errorf("process: task %q is not defined in the worker: call tristrand.Define for it in a package variable, which every process of the program has", task)
}

// run runs jobs until the pool says that there will be no more.
func (v *server) run(ctx context.Context) {
	v.alone = runtime.NumGoroutine()
	for {
		frame, ok, err := v.jobs.Next()
		switch {
		case err != nil:
			fail(err)
		case ok:
			v.job(ctx, frame)
		case v.stopping.Load():
			return
		default:
			v.wakePool()
			if runtime.NumGoroutine() > v.alone {
				runtime.Gosched() // others may have work before this thread sleeps
			}
			v.jobs.Wait(0)
		}
	}
}

// job runs one job, unless it was taken back meanwhile.
func (v *server) job(ctx context.Context, frame []byte) {
	f, err := readJob(frame)
	if err != nil {
		fail(err)
	}
	if f.flags&flagName != 0 {
		v.known[f.number] = string(f.name)
		if h, ok := tristrand.Lookup(string(f.name)); ok {
			v.names[f.number] = h
		}
	}
	if v.mail != nil && int(f.slot) < slots { // it was not sent ahead, and cannot be taken back
		claimAt(v.mem, int(f.slot)).Store(claimWord(f.seq, claimOffered))
	}
	if int(f.slot) >= slots || !claimAt(v.mem, int(f.slot)).CompareAndSwap(claimWord(f.seq, claimOffered), claimWord(f.seq, claimTaken)) {
		v.jobs.Advance()
		return
	}
	name := v.known[f.number]
	h, ok := v.names[f.number]
	if !ok {
		v.jobs.Advance()
		v.failed(&f, 0, undefined(name))
		return
	}
	in := h.NewInput()
	err = v.decode(&f, in)
	var m meta
	if err == nil && f.meta != nil {
		err = wire.Decode(f.meta, &m)
	}
	v.jobs.Advance() // nothing of the frame is used any more
	f.body, f.meta, f.name = nil, nil, nil
	if err != nil {
		v.failed(&f, 0, fmt.Errorf("process: task %q: its input cannot be decoded: %w", name, err))
		return
	}
	var progress *chunkCtx
	if strings.HasSuffix(name, "[]") {
		progress = v.newChunk(&f)
	}
	v.call(ctx, &f, name, h, in, m, progress, func(ran time.Duration, out any, err error) {
		if err != nil {
			if progress != nil && progress.out != nil { // an input has ended the goroutine
				progress.tell(progress.out, true, 0)
			}
			v.failed(&f, ran, err)
		} else if o, ok := out.(tristrand.Outcomes); ok {
			progress.tell(o, false, ran)
		} else {
			v.succeeded(&f, name, ran, out)
			portable.Return(out)
		}
		portable.Return(in)
		if progress != nil {
			progress.forget()
		}
	})
}

// call calls the task's function and says what comes of it, also when the function ends
// its goroutine.
func (v *server) call(ctx context.Context, f *jobFrame, name string, h tristrand.Handler, in any, m meta,
	progress *chunkCtx, tell func(ran time.Duration, out any, err error),
) {
	own := new(strand.Context)
	own.Init(ctx)
	var until time.Time
	began := time.Now()
	if f.left > 0 {
		until = began.Add(f.left)
	}
	own.Bind(strand.Current(ctx), until)
	v.mu.Lock()
	v.current, v.ctx = f.seq, own
	early, why := v.early == f.seq, v.why
	v.mu.Unlock()
	if early {
		own.End(why)
	}
	var err error
	var out any
	returned := false
	defer func() {
		if !returned { // the function has ended the goroutine
			err = tristrand.ErrGoexit
		}
		ran := time.Since(began)
		v.mu.Lock()
		v.current, v.ctx = 0, nil
		v.mu.Unlock()
		own.End(context.Canceled)
		tell(ran, out, err)
	}()
	jobCtx := context.Context(own)
	if m.Values != nil {
		jobCtx = registry.Extract(jobCtx, func(k string) string { return m.Values[k] })
	}
	if progress != nil {
		progress.Context = jobCtx
		jobCtx = progress
	}
	if m.Labels == nil {
		out, err = call(jobCtx, name, h, in)
	} else {
		var kv []string
		for k, val := range m.Labels {
			kv = append(kv, k, val)
		}
		pprof.Do(jobCtx, pprof.Labels(kv...), func(ctx context.Context) { out, err = call(ctx, name, h, in) })
	}
	returned = true
}

// call calls a task's function. A panic is an error.
func call(ctx context.Context, name string, h tristrand.Handler, in any) (out any, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &tristrand.PanicError{Value: v, Stack: debug.Stack(), Task: name}
		}
	}()
	return h.Call(ctx, in)
}

// cancel ends the ctx of a job.
func (v *server) cancel(n note) {
	why := causeError(n.N, n.Text)
	v.mu.Lock()
	ctx := v.ctx
	if v.current != n.Seq {
		ctx = nil
		v.early, v.why = n.Seq, why
	}
	v.mu.Unlock()
	if ctx != nil {
		ctx.End(why)
	}
}

// A toldError is why a job shall stop, as its pool told it.
type toldError struct {
	text string
	is   error
}

func (e *toldError) Error() string { return e.text }
func (e *toldError) Unwrap() error { return e.is }

func causeError(cause int, text string) error {
	switch cause {
	case causeTimeout:
		return tristrand.ErrTimeout
	case causeCancel:
		return tristrand.ErrCancelled
	case causeDeadline:
		return &toldError{text, context.DeadlineExceeded}
	default:
		return &toldError{text, context.Canceled}
	}
}

// decode decodes the body of a job into in.
func (v *server) decode(f *jobFrame, in any) error {
	if f.flags&flagExtra != 0 {
		v.came.reached(f.seq) // if it fails the decoder says what is missing
	}
	body, own := f.body, false
	if f.flags&flagSegment != 0 {
		key, n, err := readRef(f.body)
		if err != nil {
			return err
		}
		s := v.came.await(key)
		if s == nil || n > s.Size() {
			return errors.New("its segment has not come")
		}
		defer s.Release()
		body = s.Bytes()[:n]
		if f.flags&flagRaw != 0 {
			body, own = bytes.Clone(body), true
		}
	}
	if f.flags&flagRaw != 0 {
		if !own {
			body = bytes.Clone(body)
		}
		if !wire.SetRaw(in, body) {
			return fmt.Errorf("it came as bytes and is %T: caller and worker are not of the same program", in)
		}
		return nil
	}
	return wire.Decode(body, in)
}
