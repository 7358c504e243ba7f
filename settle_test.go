package tristrand_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/strand"
)

// A teller is a scheduler of one strand that calls told when the strand is made ready.
type teller struct{ told func() }

func (teller) Spawn(_ *strand.Strand, body func())                { go body() }
func (teller) Step(*strand.Strand, strand.Op)                     {}
func (teller) Park(*strand.Strand)                                {}
func (t teller) Ready(*strand.Strand)                             { t.told() }
func (teller) After(d time.Duration, f func()) (stop func() bool) { return time.AfterFunc(d, f).Stop }

// TestDoneIsAskedForAsTheJobEnds asks for Done between the moment at which the
// outcome is made known and that at which those who wait are told.
func TestDoneIsAskedForAsTheJobEnds(t *testing.T) {
	ex := &keeper{}
	f := square.Submit(context.Background(), ex, 3) // whose end nobody has to watch
	var done <-chan struct{}
	ctx, leave := strand.Become(t.Context(), strand.Options{Scheduler: teller{func() { done = f.Done() }}})
	defer leave()
	w := strand.Current(ctx).NewWait()
	defer f.Watch(w)()
	called := false
	f.OnDone(func(*tristrand.Future[int]) { called = true })
	out := 9
	ex.job.Finish(&out, nil)
	if _, err := f.Result(t.Context()); err != nil || !called || done == nil {
		t.Fatalf("Result gives %v; OnDone called: %v, Done asked for: %v", err, called, done != nil)
	}
	<-done
	<-f.Done()
}

// A keeper is an executor that keeps its last job for the test to run.
type keeper struct {
	tristrand.Executor
	job tristrand.Job
}

func (k *keeper) Submit(_ context.Context, j tristrand.Job) error { k.job = j; return nil }

// TestCancelOfAnotherTry cancels a job that was taken back from one worker, and runs
// on another and fails before Cancel gets to it.
func TestCancelOfAnotherTry(t *testing.T) {
	ex := &keeper{}
	f := square.Submit(t.Context(), ex, 3, tristrand.Retries(1))
	ran := false
	ex.job.Offer(func() bool {
		if !ran {
			ran = ex.job.Start(func(error) {}) && ex.job.Finish(nil, errOwn).Again
		}
		return true
	})
	if f.Cancel() || !ran {
		t.Errorf("Cancel says that a job that has run never did (it ran: %v)", ran)
	}
	if _, err := f.Result(t.Context()); !errors.Is(err, tristrand.ErrCancelled) || !errors.Is(err, errOwn) {
		t.Errorf("Result gives %v, not both the cancellation and the error of the first try", err)
	}
}

// TestCancelReachesTheNextTry cancels a job as one try of it ends and the next begins.
func TestCancelReachesTheNextTry(t *testing.T) {
	for range 20_000 {
		ex := &keeper{}
		f := square.Submit(t.Context(), ex, 3, tristrand.Retries(1))
		ex.job.Start(func(error) {})
		over := make(chan struct{})
		go func() { f.Cancel(); close(over) }()
		var told atomic.Bool
		again := ex.job.Finish(nil, errOwn).Again && ex.job.Start(func(error) { told.Store(true) })
		<-over
		if again && !told.Load() {
			t.Fatal("the job's second try was not told to stop")
		}
	}
}

// TestWatchIsStoppedTwice stops a watch again when another is the first that waits.
func TestWatchIsStoppedTwice(t *testing.T) {
	ex := &keeper{}
	f := square.Submit(context.Background(), ex, 3) // whose end nobody has to watch
	ctx, cancel := context.WithTimeout(asStrand(t), time.Minute)
	defer cancel()
	s := strand.Current(ctx)
	gone := s.NewWait()
	stop := f.Watch(gone)
	stop()
	gone.Cancel()
	w := s.NewWait()
	defer f.Watch(w)()
	stop()
	out := 9
	ex.job.Finish(&out, nil)
	if w.Cancel() {
		t.Error("who waits was not told")
	}
}
