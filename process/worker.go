package process

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/internal/child"
	"github.com/tristrand/tristrand/internal/ring"
	"github.com/tristrand/tristrand/internal/segment"
	"github.com/tristrand/tristrand/shm"
)

// What a worker is doing, as the pool sees it.
type workerState int

const (
	starting workerState = iota // it has not said hello
	ready
	retired // it gets no more jobs, and ends when it has none
	gone    // its process is dead
)

// A worker is a process of a pool.
type worker struct {
	p     *Pool
	name  string
	child *child.Child
	post  post
	out   outbox
	came  *arrivals
	lane  *segment.Segment // nil where no memory is shared
	mail  *mailbox         // what results is then
	mem   []byte

	waking   sync.RWMutex // of who looks into the lane without the pool's mu or a turn
	laneGone bool         // under waking

	unwoken atomic.Bool // something was sent, and it was not woken since
	jobs    sender      // used under the pool's mu
	results receiver    // used by the reader
	dead    atomic.Bool // the process is; what it wrote is there still
	readers sync.WaitGroup
	reading reading

	// Guarded by the pool's mu.
	state   workerState
	slots   [slots]*item
	vacant  uint64
	held    int
	given   uint64 // jobs sent
	done    uint64 // jobs that have come back
	checked uint64 // done, when last looked at
	numbers map[string]uint32
	why     error // why it was killed, if the pool did it
}

// lastWords is how long what a dead worker has said may be on its way.
const lastWords = time.Second

// guardPatience is how long a process that was started waits for its guardian, which
// takes some milliseconds, before it is told what to do.
const guardPatience = 2 * time.Second

// staff starts workers until there are enough. The caller holds mu.
func (p *Pool) staff() {
	for len(p.workers) < p.most && p.restart == nil && p.broken == nil {
		if p.closing && p.finished() {
			return
		}
		w := &worker{
			p: p, name: fmt.Sprintf("%s-%d", p.Name, p.nextID), vacant: ^uint64(0),
			numbers: make(map[string]uint32), came: newArrivals(),
		}
		cpus := []int(nil)
		if len(p.CPUs) > 0 {
			cpus = p.CPUs[p.nextID%len(p.CPUs)]
		}
		p.nextID++
		p.workers[w] = struct{}{}
		p.tasks.Go(func() { w.live(cpus) })
	}
}

// live is the life of a worker, from its start until it has been reaped.
func (w *worker) live(cpus []int) {
	err := w.launch(cpus)
	if err != nil {
		w.bury(fmt.Errorf("process: %v cannot start worker %s: %w", w.p, w.name, err), nil)
		return
	}
	w.initReading()
	heard := make(chan struct{})
	w.readers.Go(func() {
		defer close(heard)
		w.readNotes()
	})
	w.readers.Go(w.readResults)
	w.readers.Go(w.out.send)
	<-w.child.Done()
	select { // what it has said comes before its end
	case <-heard:
	case <-time.After(lastWords): // somebody else has its end
	}
	w.dead.Store(true)
	w.results.Stop() // the reader takes what is left, and returns
	w.p.mu.Lock()
	if w.reading.late != nil {
		w.reading.late.Stop()
	}
	w.p.mu.Unlock()
	prod(w.reading.resume)
	w.out.close()
	_ = w.post.Close() // nothing can come any more
	w.came.end()
	w.readers.Wait()
	w.came.close()
	exit := w.child.Exit()
	shm.ProcessDied(exit.PID) // before anybody hears of it, so that its locks are free
	defer w.dropLane()        // also when a function given to OnDone ends the goroutine
	w.bury(nil, exitErrorOf(w.name, exit))
}

// launch starts the process and gives it its lane.
func (w *worker) launch(cpus []int) error {
	p := w.p
	spec := child.Spec{
		Name: w.name, Env: p.Env, Dir: p.Dir, MemoryLimitBytes: p.MemoryLimitBytes, CPUs: cpus,
	}
	pair := postPair
	if p.python != nil {
		var err error
		if spec, err = p.python.spec(spec); err != nil {
			return err
		}
		pair = func() (post, []*os.File, error) { return newPythonPost(p.python) }
	}
	ours, theirs, err := pair()
	if err != nil {
		return err
	}
	defer closeFiles(theirs)
	w.post = ours
	w.out.init(w.post)
	made := make(chan error, 1)
	go func() { made <- w.layLane() }() // beside the start of the process, which takes longer
	c, err := startChild(context.Background(), spec, theirs, p.Stdout, p.Stderr)
	if laneErr := <-made; laneErr != nil || err != nil {
		if err == nil {
			kill(c)
			<-c.Done()
		}
		w.dropLane()
		_ = w.post.Close()
		return errors.Join(err, laneErr)
	}
	w.came.heldUp = c.Stopped
	p.mu.Lock()
	w.child = c
	unused := w.state == retired // closed meanwhile
	p.mu.Unlock()
	if unused {
		kill(c)
	}
	c.Guarded(guardPatience)
	w.configure()
	return nil
}

// layLane makes the lane.
func (w *worker) layLane() error {
	if !shares() || w.p.python != nil {
		w.mem, w.mail = make([]byte, claimsEnd), newMailbox()
		w.jobs, w.results = &notes{out: &w.out}, w.mail
		return nil
	}
	lane, err := newLaneSegment(w.name)
	if err != nil {
		return err
	}
	w.lane, w.mem = lane, lane.Bytes()
	touch(w.mem)
	w.jobs = ring.NewProducer(jobRing(w.mem))
	w.results = ring.NewConsumer(resultRing(w.mem))
	return nil
}

func (w *worker) dropLane() {
	w.waking.Lock()
	defer w.waking.Unlock()
	w.laneGone = true
	if w.lane != nil {
		w.lane.Release()
	}
}

// ifThere calls wake, which looks into the lane, unless the worker has been reaped: who
// wakes it, or one who waits for it, holds nothing that keeps it.
func (w *worker) ifThere(wake func()) {
	w.waking.RLock()
	defer w.waking.RUnlock()
	if !w.laneGone {
		wake()
	}
}

// configure tells the worker who it is.
func (w *worker) configure() {
	p := w.p
	cfg := &config{Name: w.name, Kind: kindWorker}
	if p.MemoryLimitBytes > 0 {
		cfg.Sample = memorySample
	}
	if w.lane != nil {
		w.out.segment(w.lane, noteLane)
	}
	if p.first != nil {
		cfg.Task, cfg.Input = p.Init.Task(), p.first.reference()
		cfg.Raw, cfg.Placed = p.first.raw, p.first.seg != nil
		p.mu.Lock() // several workers start at once
		err := w.out.load(p.first)
		p.mu.Unlock()
		if err != nil {
			w.kill(err)
		}
	}
	w.out.put(note{Op: noteConfig, Config: cfg}, nil)
}

// readNotes acts on what the worker says beside its results.
func (w *worker) readNotes() {
	var room room
	for {
		n, fd, err := w.post.receive(&room)
		if errors.Is(err, io.EOF) {
			w.hungUp()
			return
		}
		if err != nil {
			if !w.dead.Load() {
				w.kill(fmt.Errorf("process: worker %s: %w", w.name, err))
			}
			return
		}
		if err := w.act(n, fd); err != nil {
			w.kill(fmt.Errorf("process: worker %s: %w", w.name, err))
			return
		}
	}
}

// hungUp is that the worker will say no more, as it does at its end. One that goes on
// without (something there has closed all descriptors) could not be told to stop.
func (w *worker) hungUp() {
	select {
	case <-w.child.Done():
	case <-time.After(lastWords):
		w.kill(fmt.Errorf("process: worker %s has closed its connection to the pool and has not ended", w.name))
	}
}

func (w *worker) act(n note, fd int) error {
	switch n.Op {
	case noteSegment, noteFile, noteForget, noteMark:
		return w.came.take(n, fd)
	}
	closeFD(fd)
	switch n.Op {
	case noteFrame:
		if w.mail != nil {
			w.mail.put(n.Body)
		}
	case noteHello:
		return w.hello(n)
	case noteMemory:
		w.sample(int64(n.N))
	default:
		return fmt.Errorf("a note of unknown kind %d: %w", n.Op, errFrame)
	}
	return nil
}

// hello is that the worker is ready, or that its Init failed.
func (w *worker) hello(n note) error {
	p := w.p
	p.mu.Lock()
	first := w.state == starting
	if first && n.Fault == nil {
		w.state = ready
		p.failures, p.starts = 0, 0
		p.feed(w)
	}
	p.unlock()
	switch {
	case n.Fault == nil:
		w.wake()
	case !first || p.first == nil:
		return fmt.Errorf("its Init has failed, which it has not: %w", errFrame)
	default:
		p.breakDown(fmt.Errorf("%w: %v is broken: Init of worker %s: %w", tristrand.ErrClosed, p, w.name, faultErr(n.Fault)))
	}
	return nil
}

// sample looks at how much memory the worker has.
func (w *worker) sample(bytes int64) {
	p := w.p
	if p.MemoryLimitBytes == 0 || bytes <= p.MemoryLimitBytes {
		return
	}
	w.kill(&memoryError{worker: w.name, bytes: bytes, limit: p.MemoryLimitBytes})
}

// kill ends the worker's process, and all that it has started.
func (w *worker) kill(why error) {
	w.p.mu.Lock()
	if w.why == nil {
		w.why = why
	}
	w.p.mu.Unlock()
	kill(w.child)
}

// spoilt is that the worker has written into the lane what cannot be. The caller holds
// mu.
func (w *worker) spoilt(err error) {
	if w.why == nil {
		w.why = fmt.Errorf("process: worker %s: %w", w.name, err)
	}
	w.state = retired
	kill(w.child)
}

// retire lets a worker end when it has done what it has. The caller holds mu.
func (w *worker) retire() {
	if w.state == ready {
		w.state = retired
		w.out.put(note{Op: noteStop}, nil)
	}
}

// bury accounts for a worker that is no more: its jobs have failed, or have not begun
// and wait again.
func (w *worker) bury(startErr error, exit *ExitError) {
	p := w.p
	var died []death
	p.mu.Lock()
	was := w.state
	w.state = gone
	delete(p.workers, w)
	for {
		it := w.takeBack() // the last first, so that they keep their order
		if it == nil {
			break
		}
		p.queue.Return(it)
	}
	for _, it := range w.slots {
		if it == nil {
			continue
		}
		p.start(it)
		cause := it.cause
		switch {
		case cause != nil && exit != nil:
			cause = fmt.Errorf("%w: %w", stopped(cause), w.crash(exit))
		case cause != nil:
			cause = stopped(cause)
		default:
			cause = w.crash(exit)
		}
		switch {
		case it.parts != nil && it.lost:
			for i := it.parts.Len(); i < it.inputs; i++ { // it may have run
				it.parts.Fail(i, cause)
			}
			cause = nil
		case it.parts != nil && w.mail == nil:
			recoverChunk(it, w.mem)
		}
		w.release(it)
		died = append(died, death{it, cause})
	}
	switch {
	case was == starting && !p.closing:
		p.failed(startErr, w.crash(exit))
	case was != retired || w.why != nil:
		p.stats.Restarts++
	}
	p.mu.Unlock()
	enterReader() // functions given to OnDone must not wait for the worker that comes next
	defer func() {
		leaveReader()
		p.mu.Lock()
		p.replace()
	}()
	each(died, func(d death) {
		if d.it.parts == nil {
			p.settle(d.it, nil, d.cause)
			return
		}
		p.settle(d.it, d.it.parts, d.cause)
	})
}

// A death is that of a job with its worker.
type death struct {
	it    *item
	cause error
}

// each calls fn for all, also when one of the calls ends the goroutine, as a function
// given to OnDone can.
func each[T any](all []T, fn func(T)) {
	i := 0
	defer func() {
		if i < len(all) {
			each(all[i+1:], fn)
		}
	}()
	for ; i < len(all); i++ {
		fn(all[i])
	}
}

// crash returns why the jobs of a dead worker failed.
func (w *worker) crash(exit *ExitError) error {
	switch {
	case exit == nil:
		return w.why
	case w.why != nil:
		exit.Reason = w.why.Error()
		var m *memoryError
		exit.OutOfMemory = exit.OutOfMemory || errors.As(w.why, &m)
	}
	return exit
}

// failed is that a worker could not be started. After some of those, one after
// another, the pool is broken; after more if they were killed, which is somebody's
// doing and no fault of theirs. The caller holds mu.
func (p *Pool) failed(startErr, exit error) {
	const most, whole, part = 50, 10, 1
	if startErr == nil {
		startErr = fmt.Errorf("process: %v: a worker died before it was ready: %w", p, exit)
	}
	p.starts++
	if killed := (*ExitError)(nil); errors.As(exit, &killed) && killed.Signal == syscall.SIGKILL && !killed.OutOfMemory {
		p.failures += part
	} else {
		p.failures += whole
	}
	if p.failures >= most {
		err := fmt.Errorf("%w: %v is broken: %d starts failed, the last one: %w", tristrand.ErrClosed, p, p.starts, startErr)
		p.tasks.Go(func() { p.breakDown(err) })
		return
	}
	if p.restart == nil {
		p.restart = time.AfterFunc(10*time.Millisecond<<(p.failures/whole), func() {
			p.mu.Lock()
			p.restart = nil
			p.staff()
			p.mu.Unlock()
		})
	}
}

// replace starts workers in place of those that are gone, if there is something for
// them to do and the pool is not broken, and tells those who wait for the last one. It is called with mu held and
// unlocks it.
func (p *Pool) replace() {
	if !p.closing || p.queue.Len() > 0 || len(p.delayed) > 0 {
		p.staff()
	}
	var left []*item
	err := p.broken
	if err != nil { // what the worker has left waits in vain
		left = p.drop()
		p.stats.Failed += uint64(len(left))
	}
	p.unlock()
	failAll(left, err)
}
