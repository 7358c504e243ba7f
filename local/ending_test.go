package local_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/local"
	"github.com/tristrand/tristrand/strand"
)

// TestResetWhileTheActionRuns resets a barrier whose action then fails: that was
// another life's.
func TestResetWhileTheActionRuns(t *testing.T) {
	b := local.NewBarrier(1)
	own := errors.New("own")
	b.Action = func(ctx context.Context) error { return errors.Join(own, b.Reset(ctx)) }
	if _, err := b.Wait(t.Context()); !errors.Is(err, own) {
		t.Errorf("Wait gives %v", err)
	}
	if st, err := b.State(t.Context()); err != nil || st.Broken {
		t.Errorf("after Reset the barrier is %+v, %v", st, err)
	}
}

// A quitter is a scheduler of one strand whose waits are refused at once, and which
// calls before that strand hears of it.
type quitter struct{ meanwhile func() }

var errQuit = errors.New("quit")

func (quitter) Spawn(_ *strand.Strand, body func()) { go body() }
func (quitter) Step(*strand.Strand, strand.Op)      {}
func (q quitter) Park(s *strand.Strand)             { s.Refuse(errQuit); q.meanwhile() }
func (quitter) Ready(*strand.Strand)                {}
func (quitter) After(d time.Duration, f func()) (stop func() bool) {
	return time.AfterFunc(d, f).Stop
}

// TestRecoverGivesUpAsTheHolderEnds has one who waits to recover a lock give up at the
// moment at which its holder ends: another, who has not come to recover it, is told.
func TestRecoverGivesUpAsTheHolderEnds(t *testing.T) {
	var l local.Lock
	holds, end := make(chan struct{}), make(chan struct{})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		ctx, leave := strand.Adopt(t.Context(), "holder")
		defer leave()
		_ = l.Acquire(ctx)
		close(holds)
		<-end
	}()
	<-holds
	got := make(chan error, 1)
	ctx, leave := strand.Become(t.Context(), strand.Options{Scheduler: quitter{func() {
		go func() {
			ctx, leave := strand.Adopt(context.Background(), "other")
			defer leave()
			got <- l.Acquire(ctx)
		}()
		for st, _ := l.State(t.Context()); st.Waiting < 2; st, _ = l.State(t.Context()) {
			time.Sleep(time.Millisecond)
		}
		close(end)
		<-ended
	}}})
	defer leave()
	if err := l.Recover(ctx); !errors.Is(err, errQuit) {
		t.Fatalf("Recover gives %v", err)
	}
	if err := <-got; !errors.Is(err, tristrand.ErrOwnerDied) {
		t.Errorf("Acquire of a lock that nobody has recovered gives %v", err)
	}
}
