package thread_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/strand"
	"github.com/tristrand/tristrand/thread"
)

func TestMainWaits(t *testing.T) {
	told := reports(t)
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		var lines []string
		gate := make(chan struct{})
		var pool thread.Pool
		var job *tristrand.Future[int]
		err := thread.Main(func(ctx context.Context) error {
			if s := strand.Current(ctx); s.Kind() != strand.Main || s.Name() != "main" {
				t.Errorf("Main runs as %v", s)
			}
			self := thread.Current(ctx)
			if self == nil || !self.IsMain() || self != thread.MainThread() || thread.Count() != 1 {
				t.Errorf("the main thread is %v of %d", self, thread.Count())
			}
			lines = append(lines, "main")
			thread.Start(ctx, "first", func(ctx context.Context) error {
				err := strand.Sleep(ctx, time.Second)
				lines = append(lines, "first")
				thread.Start(ctx, "second", func(ctx context.Context) error {
					err := strand.Sleep(ctx, time.Second)
					lines = append(lines, "second")
					return err
				})
				return err
			})
			quick := thread.Start(ctx, "quick", func(context.Context) error { return errOwn })
			<-quick.Done() // nobody has joined it
			thread.Start(ctx, "slow", func(ctx context.Context) error { return errors.Join(strand.Sleep(ctx, time.Second), errOwn) })
			thread.Start(ctx, "daemon", func(context.Context) error { <-gate; return nil }, thread.Daemon())
			job = tristrand.Go(ctx, &pool, func(ctx context.Context) (int, error) { return 7, strand.Sleep(ctx, 5*time.Second) })
			return tristrand.ErrFull
		})
		if !errors.Is(err, tristrand.ErrFull) || strings.Join(lines, " ") != "main first second" || time.Since(began) != 5*time.Second {
			t.Errorf("Main returns %v after %v, with %v", err, time.Since(began), lines)
		}
		if v, err := job.TryResult(); v != 7 || err != nil {
			t.Errorf("a job of a pool that nobody closed is %v, %v", v, err)
		}
		if all := told(); len(all) != 2 || !errors.Is(all[0], errOwn) ||
			!strings.Contains(all[0].Error(), `"slow"`) || !strings.Contains(all[1].Error(), `"quick"`) {
			t.Errorf("reported: %v", all)
		}
		if thread.MainThread() != nil {
			t.Error("there is a main thread after Main")
		}
		close(gate)
	})
}

func TestMainOnce(t *testing.T) {
	err := thread.Main(func(context.Context) error {
		return thread.Main(func(context.Context) error { t.Error("called"); return nil })
	})
	if err == nil || !strings.Contains(err.Error(), "one") {
		t.Errorf("a Main in a Main returns %v", err)
	}
	for range 2 {
		if err := thread.Main(func(context.Context) error { return nil }); err != nil {
			t.Error(err)
		}
	}
}

func TestMainDeadlock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var self *thread.Thread
		err := thread.Main(func(ctx context.Context) error {
			self = thread.Current(ctx)
			return self.Join(ctx)
		})
		if !isDeadlock(err) {
			t.Errorf("Main that joins itself returns %v", err)
		}
	})
}
