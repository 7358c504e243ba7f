package tristrand

import (
	"context"
	"time"

	"github.com/tristrand/tristrand/strand"
)

// An Executor runs jobs. Its methods are safe for concurrent use. One that is
// also a strand.Resource says with Releasers which strands could start a job
// that is queued, so that a job which waits for one behind it is found.
type Executor interface {
	// Submit hands j over and waits under ctx while there is no room. It
	// returns ErrClosed or ErrNotPortable when j will not run.
	Submit(ctx context.Context, j Job) error
	// TrySubmit is Submit that returns ErrFull instead of waiting.
	TrySubmit(ctx context.Context, j Job) error
	// Close refuses new jobs and waits for those accepted. When ctx ends first
	// it cancels them, waits a grace, and returns a *CloseError that names the
	// ones left. Called again it waits for the first call and returns the same.
	Close(ctx context.Context) error
	// Terminate drops what is queued, cancels what runs, and returns.
	Terminate() error
	// Stats returns counts at one moment.
	Stats() Stats
}

// A Worker is the ctx that an engine of this process may give to Job.Run, if it
// wants to be told more than Run's result. Its strand is the one that runs.
type Worker interface {
	context.Context
	// Settled is called by Run, if somebody waits for the job, just before its
	// outcome is made known: the worker is as good as free, and whoever is woken
	// shall find it so.
	Settled(j Job, next Next)
	// Abandoned is called, on another goroutine, when the job's time is up, just
	// before that is made known: the worker is lost until Run returns. A Run that
	// returns meanwhile says that the job is Running.
	Abandoned(j Job, next Next)
}

// A Fetcher is an Executor whose jobs run elsewhere and whose outcomes can be fetched
// by the goroutine that waits for one, which saves handing them over.
type Fetcher interface {
	Executor
	// Fetch returns a place for one strand to wait in for j, which runs, until
	// Finish has been called; or nil, if it had better park. The goroutine that
	// waits calls Finish itself as long as alone says that nobody else wants the
	// outcome.
	Fetch(j Job, alone func() bool) *strand.Blocker
}

// A Job is one call of a task, as engines see it.
type Job interface {
	// ID is unique in the process.
	ID() string
	// Task returns the name to Lookup: the task's or, for a chunk of Map, the
	// task's followed by "[]"; "" for a closure.
	Task() string
	Limits() Limits
	// State returns how far the job has come.
	State() FutureState
	// Context is the ctx of Submit.
	Context() context.Context

	// Cancel settles the job if it has not started, and asks it to stop if it
	// runs: its ctx ends with cause. It returns whether the job never ran and
	// never will.
	Cancel(cause error) bool

	// Run does it all in this process: starts the job, calls the function,
	// recovers, finishes. ctx names the worker's strand.
	Run(ctx context.Context) Next

	// Start says that the job begins elsewhere: its time for a Chunker is from
	// the last Start to Finish. It returns false if the job was cancelled
	// meanwhile; afterwards interrupt is called, with the cause, when the job
	// shall be stopped, but never by Start itself.
	Start(interrupt func(cause error)) bool
	// Offer says that the job has been sent to a worker that will come to it: it
	// is pending, but before it is cancelled withdraw is called, which returns
	// whether the job has not begun and never will, and calls Start if it has.
	// Offer returns false if the job was cancelled meanwhile.
	Offer(withdraw func() bool) bool
	// Requeue takes a Start back: the job did not run, and waits again. It
	// returns false if the job was told to stop meanwhile and has been settled.
	Requeue() bool
	// Input is what to send, NewOutput a pointer to decode the answer into. For a
	// chunk that are a pointer to a slice of inputs, and Outcomes.
	Input() any
	NewOutput() any
	// Finish settles the job with what NewOutput points at, an error, or both.
	// The first call wins. Without Start before it, it says that the job has not
	// run.
	//
	// For a chunk of Map, whose output is Outcomes, an error says that not all
	// of its inputs have run. With Outcomes, those of which it tells have; the
	// one after them was running, and fails with the error; those after that
	// have not begun, and are submitted again, each alone. So a worker that dies
	// fails the input that it was at, and nothing that is known to have run is
	// run again; one that has run, but whose outcome died with the worker, is
	// made to fail with ErrOutcomeUnknown by Fail. With nil in their place,
	// nothing is known, and each input fails with the error; but if the chunk was
	// not started, as when an input cannot be encoded, each is submitted again
	// alone. ErrCancelled and ErrClosed are the error of all that is left.
	Finish(out any, err error) Next

	sealed()
}

// Next says what an engine has to do with a job that has run.
type Next struct {
	State FutureState   // what has become of the job; Pending if Again
	Again bool          // queue it again, above the bound
	After time.Duration // when; no worker is held meanwhile
}

// Limits are what a call's options say to its engine.
type Limits struct {
	Timeout  time.Duration // of each try; 0 is none
	Priority int
	Retries  int
	Label    map[string]string
}

// Stats are the counts of an executor.
type Stats struct {
	Workers, Busy    int
	Queued, QueueCap int
	Abandoned        int // workers lost to jobs whose time is up

	Submitted, Succeeded, Failed, Cancelled, Retried uint64
	Restarts                                         uint64 // workers replaced
}
