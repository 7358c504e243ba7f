package batch

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/cmd/tristrand/internal/halt"
	"github.com/tristrand/tristrand/cmd/tristrand/internal/joblog"
	"github.com/tristrand/tristrand/cmd/tristrand/internal/spool"
)

const (
	maxStreamBytes = 1 << 20  // of a stream of a job, kept in memory
	allStreamBytes = 64 << 20 // of all jobs that run
	backlogBytes   = 32 << 20 // of jobs that wait to be printed in order
	backlogFiles   = 128
	window         = 1 << 16 // jobs ahead of the next one to be printed in order
)

// A job is one input on its way.
type job struct {
	seq     int
	input   string
	line    string // its command, made when it is needed
	tries   int
	start   time.Time // of the last try
	took    time.Duration
	outcome Outcome
	buf     *streams      // the run's, on loan; nil if the job has none
	out     *spool.Buffer // in buf or in the backlog; nil if jobs print for themselves
	errs    *spool.Buffer
	printed int64 // bytes of its standard output
}

type streams struct{ out, errs spool.Buffer }

// A run is one call of Run.
type run struct {
	cfg  Config
	task *tristrand.Task[*job, struct{}]

	stopTaking context.CancelFunc // no more inputs
	stopJobs   context.CancelFunc // those that run
	unhook     func() bool
	finished   chan struct{}

	streamBytes int // of a stream of a job in memory

	free   sync.Pool     // of *streams
	places chan struct{} // with KeepOrder: one for each job not printed

	// printing guards what is printed and logged. Whoever has it may wait for a
	// reader, so nothing that ends the run needs it.
	printing sync.Mutex
	order    order

	mu      sync.Mutex // guards the rest, for a moment each
	counts  Counts
	cause   error // why it stops
	closing bool  // no job is to be started any more
}

// newRun returns the run, the ctx to take inputs under and that of the jobs.
func newRun(ctx context.Context, cfg Config) (r *run, taking, jobs context.Context) {
	r = &run{cfg: cfg, finished: make(chan struct{})}
	r.task = tristrand.Func(r.do)
	detached := context.WithoutCancel(ctx)
	taking, r.stopTaking = context.WithCancel(detached)
	jobs, r.stopJobs = context.WithCancel(detached)
	r.unhook = context.AfterFunc(ctx, func() { r.stop(context.Cause(ctx), halt.Now) })
	r.counts.Total, r.counts.Known = cfg.Inputs.Total()
	if w, ok := cfg.Work.(Watcher); ok {
		w.OnHangup(func() { r.stop(ErrOutputClosed, halt.Now) })
	}
	r.streamBytes = min(max(allStreamBytes/(2*cfg.Workers), 64<<10), maxStreamBytes)
	if cfg.JSON {
		r.streamBytes = maxStreamBytes
	}
	r.free.New = func() any {
		b := spool.Buffer{MemoryBytes: r.streamBytes, HeadOnly: cfg.JSON}
		return &streams{b, b}
	}
	if cfg.KeepOrder {
		r.places = make(chan struct{}, window)
		r.order = order{backlog: spool.Backlog{MemoryBytes: backlogBytes, Files: backlogFiles}}
	}
	if cfg.Progress != nil {
		cfg.Progress.Show(r.counts)
	}
	return r, taking, jobs
}

func (r *run) end() {
	r.unhook()
	r.stopTaking()
	r.stopJobs()
	r.order.backlog.Close()
	if r.cfg.Progress != nil {
		r.cfg.Progress.Show(r.count(func(*Counts) {})) // the total may be known only now
		r.cfg.Progress.End()
	}
}

// stop ends the run. The first cause counts; a later one may hurry it.
func (r *run) stop(cause error, how halt.Action) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.cause == nil {
		r.cause = cause
	}
	r.stopTaking()
	r.closing = true
	if how == halt.Now {
		r.stopJobs()
	}
}

// fault ends the run after what has been taken: the inputs are at fault.
func (r *run) fault(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.cause == nil {
		r.cause = err
	}
}

// produce hands over a job for every input.
func (r *run) produce(taking, jobs context.Context) {
	opts := []tristrand.CallOption(nil)
	if r.cfg.Retries > 0 {
		opts = append(opts, tristrand.Retries(r.cfg.Retries))
	}
	for seq := 1; ; seq++ {
		input, err := r.cfg.Inputs.Next(taking)
		if err != nil {
			if !isEnd(err) && taking.Err() == nil {
				r.fault(err)
			}
			r.noteTotal()
			return
		}
		j := &job{seq: seq, input: input}
		if skip, err := r.take(j); err != nil {
			r.stop(err, halt.Now)
			return
		} else if skip {
			continue
		}
		if r.places != nil {
			select {
			case r.places <- struct{}{}:
			case <-taking.Done():
				return
			}
		}
		r.task.Submit(jobs, r.cfg.Executor, j, opts...).OnDone(func(f *tristrand.Future[struct{}]) {
			if _, err := f.TryResult(); err != nil {
				r.refused(err)
			}
		})
	}
}

// take counts an input and reports whether its job was done before.
func (r *run) take(j *job) (skip bool, err error) {
	if r.cfg.Done != nil {
		j.line = r.cfg.Work.Line(j.input)
		skip, err = doneBefore(&r.cfg, j.seq, j.line)
	}
	r.count(func(c *Counts) {
		c.Read++
		if !c.Known {
			c.Total = c.Read
		}
		if skip {
			c.Skipped++
		}
	})
	if skip && r.places != nil {
		r.printing.Lock()
		r.order.skip(j.seq, r.emit)
		r.printing.Unlock()
	}
	return skip, err
}

func (r *run) noteTotal() {
	if n, known := r.cfg.Inputs.Total(); known {
		r.count(func(c *Counts) { c.Total, c.Known = n, true })
	}
}

// count changes the counts and returns them.
func (r *run) count(change func(*Counts)) Counts {
	r.mu.Lock()
	defer r.mu.Unlock()
	change(&r.counts)
	return r.counts
}

// errAgain makes the executor try a job again.
var errAgain = errors.New("the job failed and is to be tried again")

// refused is told of jobs that the executor did not run to their end. Those that
// it dropped because the run stops are counted by what is left, unless they had
// a try behind them.
func (r *run) refused(err error) {
	switch {
	case errors.Is(err, errAgain):
		r.count(func(c *Counts) { c.Stopped++ })
	case errors.Is(err, tristrand.ErrCancelled), errors.Is(err, context.Canceled):
	default:
		r.stop(err, halt.Now)
	}
}

// do is the job, on a worker.
func (r *run) do(ctx context.Context, j *job) (struct{}, error) {
	switch {
	case r.stopping() && j.tries > 0:
		return struct{}{}, tristrand.Permanent(errAgain)
	case r.stopping():
		return struct{}{}, nil // not started
	}
	if !r.cfg.Ungroup && j.buf == nil {
		j.buf = r.free.Get().(*streams)
		j.out, j.errs = &j.buf.out, &j.buf.errs
	}
	r.count(func(c *Counts) { c.Running++ })
	j.tries++
	j.start = time.Now()
	j.outcome = r.cfg.Work.Do(ctx, j.input, j.out, j.errs)
	j.took = time.Since(j.start)
	r.count(func(c *Counts) { c.Running-- })
	if j.outcome.failed() && !j.outcome.Stopped && !j.outcome.Fatal && j.tries <= r.cfg.Retries && !r.stopping() {
		r.reset(j)
		return struct{}{}, errAgain
	}
	if j.out != nil {
		j.printed = j.out.Len()
	}
	if r.cfg.JSON && !j.outcome.Stopped && !j.outcome.Fatal {
		if err := r.render(j); err != nil {
			j.outcome = Outcome{Err: err, Fatal: true}
		}
	}
	r.report(j)
	return struct{}{}, nil
}

func (r *run) stopping() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.closing
}

// reset empties what a job has printed.
func (r *run) reset(j *job) {
	if j.out != nil {
		j.out.Reset()
		j.errs.Reset()
	}
}

// recycle is the end of a job.
func (r *run) recycle(j *job) {
	r.reset(j)
	if j.buf != nil {
		r.release(j.buf)
	}
	j.buf, j.out, j.errs = nil, nil, nil
}

// release takes back buffers that are empty.
func (r *run) release(s *streams) { r.free.Put(s) }

// result is called once nothing runs.
func (r *run) result() (Counts, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var mismatch *joblog.MismatchError
	switch {
	case r.cause == nil:
		return r.counts, nil
	case errors.As(r.cause, &mismatch) && r.counts.Done == 0:
		return r.counts, r.cause // nothing was begun that could be left
	}
	return r.counts, &StoppedError{r.cause, r.counts}
}

// entry is the job's line of the log.
func (j *job) entry() joblog.Entry {
	e := joblog.Entry{Seq: j.seq, Start: j.start, Runtime: j.took, Exit: j.outcome.Exit, Signal: j.outcome.Signal, Command: j.line, ReceiveBytes: j.printed}
	if e.Signal != 0 && !j.outcome.TimedOut {
		e.Exit = 0 // as GNU parallel has it
	}
	return e
}

func isEnd(err error) bool { return errors.Is(err, io.EOF) }
