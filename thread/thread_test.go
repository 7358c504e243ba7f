package thread_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/strand"
	"github.com/tristrand/tristrand/thread"
)

func TestJoin(t *testing.T) {
	tests := []struct {
		name string
		fn   func(context.Context) error
		ok   func(error) bool
	}{
		{"success", func(context.Context) error { return nil }, func(err error) bool { return err == nil }},
		{"an error", func(context.Context) error { return errOwn }, func(err error) bool { return err == errOwn }}, //nolint:errorlint // the very same
		{"a panic", func(context.Context) error { panic(errOwn) }, func(err error) bool {
			var p *tristrand.PanicError
			return errors.As(err, &p) && errors.Is(err, errOwn) && p.Task == "its name" && strings.Contains(string(p.Stack), "thread_test.go")
		}},
		{"a Goexit", func(context.Context) error { runtime.Goexit(); return nil }, func(err error) bool { return errors.Is(err, tristrand.ErrGoexit) }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, func(ctx context.Context, t *testing.T) {
				th := thread.Start(ctx, "its name", tt.fn)
				for range 3 {
					if err := th.Join(ctx); !tt.ok(err) {
						t.Errorf("Join returns %v", err)
					}
				}
				<-th.Done()
				if th.Alive() || th.Failed() != (th.Join(ctx) != nil) {
					t.Errorf("alive: %v, failed: %v", th.Alive(), th.Failed())
				}
			})
		})
	}
}

func TestJoinWithTimeout(t *testing.T) {
	inBubble(t, func(ctx context.Context, t *testing.T) {
		gate := make(chan struct{})
		th := thread.Start(ctx, "", func(context.Context) error { <-gate; return errOwn })
		short, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		began := time.Now()
		if err := th.Join(short); !errors.Is(err, context.DeadlineExceeded) || !th.Alive() || time.Since(began) != time.Second {
			t.Errorf("Join returns %v after %v; alive: %v", err, time.Since(began), th.Alive())
		}
		if err := th.Join(short); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Join under a ctx that has ended returns %v", err)
		}
		close(gate)
		if err := th.Join(ctx); !errors.Is(err, errOwn) {
			t.Errorf("Join returns %v", err)
		}
		if err := th.Join(short); !errors.Is(err, errOwn) {
			t.Errorf("Join of what has ended, under a ctx that has too, returns %v", err)
		}
	})
}

func TestJoinByMany(t *testing.T) {
	inBubble(t, func(ctx context.Context, t *testing.T) {
		gate := make(chan struct{})
		th := thread.Start(ctx, "", func(context.Context) error { <-gate; return errOwn })
		var joiners []*thread.Thread
		for range 10 {
			joiners = append(joiners, thread.Start(ctx, "", th.Join))
		}
		synctest.Wait()
		close(gate)
		for _, j := range joiners {
			if err := j.Join(ctx); !errors.Is(err, errOwn) {
				t.Errorf("a joiner got %v", err)
			}
		}
	})
}

func TestJoinItself(t *testing.T) {
	inBubble(t, func(ctx context.Context, t *testing.T) {
		var self atomic.Pointer[thread.Thread]
		th := thread.Start(ctx, "", func(ctx context.Context) error {
			synctest.Wait()
			return self.Load().Join(ctx)
		})
		self.Store(th)
		if err := th.Join(ctx); !isDeadlock(err) {
			t.Errorf("a thread that joins itself gets %v", err)
		}
		// Two that join each other: one is refused.
		var a, b atomic.Pointer[thread.Thread]
		join := func(other *atomic.Pointer[thread.Thread]) func(context.Context) error {
			return func(ctx context.Context) error {
				for other.Load() == nil {
					time.Sleep(time.Second)
				}
				return other.Load().Join(ctx)
			}
		}
		a.Store(thread.Start(ctx, "a", join(&b)))
		b.Store(thread.Start(ctx, "b", join(&a)))
		ea, eb := a.Load().Join(ctx), b.Load().Join(ctx)
		if !isDeadlock(ea) || !isDeadlock(eb) { // the refusal of one is what the other's Join returns
			t.Errorf("two that join each other get %v and %v", ea, eb)
		}
	})
}

func TestNames(t *testing.T) {
	inBubble(t, func(ctx context.Context, t *testing.T) {
		gate := make(chan struct{})
		wait := func(context.Context) error { <-gate; return nil }
		a, b, c := thread.Start(ctx, "", wait), thread.Start(ctx, "", wait), thread.Start(ctx, "mine", wait)
		if a.Name() == b.Name() || !strings.HasPrefix(a.Name(), "Thread-") || c.Name() != "mine" || c.String() != `thread "mine"` {
			t.Errorf("the names are %q, %q, %q; %v", a.Name(), b.Name(), c.Name(), c)
		}
		if a.ID() == b.ID() || a.ID() == 0 {
			t.Errorf("the ids are %d, %d", a.ID(), b.ID())
		}
		c.SetName("another")
		if c.Name() != "another" || strand.Find(c.ID()).Name() != "another" {
			t.Errorf("the name is %q after SetName", c.Name())
		}
		close(gate)
		for _, th := range []*thread.Thread{a, b, c} {
			if err := th.Join(ctx); err != nil {
				t.Error(err)
			}
		}
		if c.Name() != "another" {
			t.Errorf("the name is %q after the end", c.Name())
		}
	})
}

func TestAll(t *testing.T) {
	inBubble(t, func(ctx context.Context, t *testing.T) {
		before := thread.Count()
		gate := make(chan struct{})
		var all []*thread.Thread
		for i := range 50 {
			all = append(all, thread.Start(ctx, fmt.Sprint(i), func(ctx context.Context) error {
				if self := thread.Current(ctx); self == nil || self.Name() != fmt.Sprint(i) || self.IsMain() || self.IsDaemon() {
					t.Errorf("thread %d is %v", i, self)
				}
				<-gate
				return nil
			}))
		}
		if n := thread.Count(); n != before+50 {
			t.Errorf("%d threads, want %d", n, before+50)
		}
		listed := slices.Collect(thread.All())
		for _, th := range all {
			if !slices.Contains(listed, th) || !th.Alive() {
				t.Errorf("%v is not listed", th)
			}
		}
		close(gate)
		for _, th := range all {
			if err := th.Join(ctx); err != nil {
				t.Error(err)
			}
			if slices.Contains(slices.Collect(thread.All()), th) {
				t.Errorf("%v is listed after Join", th)
			}
		}
		if n := thread.Count(); n != before {
			t.Errorf("%d threads after all have been joined, %d before", n, before)
		}
		if thread.Current(ctx) != nil {
			t.Error("a strand that is no thread has one")
		}
	})
}

func TestErrorThatNobodyJoins(t *testing.T) {
	told := reports(t)
	done := make(chan struct{})
	thread.Start(t.Context(), "forgotten", func(context.Context) error { close(done); return errOwn })
	<-done
	for began := time.Now(); len(told()) == 0; runtime.GC() {
		if time.Since(began) > time.Minute {
			t.Fatal("the error of a thread that nobody joined was not reported")
		}
	}
	if err := told()[0]; !errors.Is(err, errOwn) || !strings.Contains(err.Error(), `"forgotten"`) {
		t.Errorf("reported: %v", err)
	}
}

func TestDaemonError(t *testing.T) {
	told := reports(t)
	inBubble(t, func(ctx context.Context, t *testing.T) {
		d := thread.Start(ctx, "a daemon", func(context.Context) error { return errOwn }, thread.Daemon())
		synctest.Wait()
		if all := told(); len(all) != 1 || !errors.Is(all[0], errOwn) || !d.IsDaemon() {
			t.Errorf("reported at once: %v", all)
		}
		if err := d.Join(ctx); !errors.Is(err, errOwn) {
			t.Errorf("Join returns %v", err)
		}
	})
}

func TestStartNil(t *testing.T) {
	for name, do := range map[string]func(){
		"Start":     func() { thread.Start(t.Context(), "x", nil) },
		"AfterFunc": func() { thread.AfterFunc(t.Context(), 0, nil) },
		"Main":      func() { _ = thread.Main(nil) },
	} {
		if text, _ := panics(do).(string); !strings.Contains(text, name) || !strings.Contains(text, "nil") {
			t.Errorf("%s of nil panics with %q", name, text)
		}
	}
}

func TestContextOfThread(t *testing.T) {
	inBubble(t, func(ctx context.Context, t *testing.T) {
		inner, cancel := context.WithCancelCause(context.WithValue(ctx, key{}, "v"))
		th := thread.Start(inner, "", func(ctx context.Context) error {
			if ctx.Value(key{}) != "v" {
				t.Error("the thread has not the values of ctx")
			}
			<-ctx.Done()
			return context.Cause(ctx)
		})
		synctest.Wait()
		cancel(errOwn)
		if err := th.Join(ctx); !errors.Is(err, errOwn) {
			t.Errorf("Join returns %v", err)
		}
	})
}

type key struct{}

func TestTimer(t *testing.T) {
	inBubble(t, func(ctx context.Context, t *testing.T) {
		began := time.Now()
		var at time.Duration
		fired := thread.AfterFunc(ctx, time.Second, func(context.Context) error { at = time.Since(began); return errOwn })
		never := thread.AfterFunc(ctx, time.Second, func(context.Context) error { t.Error("called"); return nil })
		if !never.Cancel() || never.Cancel() {
			t.Error("Cancel says the wrong thing")
		}
		if err := never.Join(ctx); err != nil || time.Since(began) != 0 {
			t.Errorf("Join of a cancelled timer returns %v after %v", err, time.Since(began))
		}
		if err := fired.Join(ctx); !errors.Is(err, errOwn) || at != time.Second {
			t.Errorf("Join returns %v; the function was called after %v", err, at)
		}
		if fired.Cancel() {
			t.Error("Cancel of a timer that has fired is true")
		}
		inner, cancel := context.WithCancelCause(ctx)
		ended := thread.AfterFunc(inner, time.Second, func(context.Context) error { t.Error("called"); return nil })
		cancel(errOwn)
		if err := ended.Join(ctx); !errors.Is(err, errOwn) {
			t.Errorf("Join of a timer whose ctx has ended returns %v", err)
		}
	})
}

func TestLocal(t *testing.T) {
	inBubble(t, func(ctx context.Context, t *testing.T) {
		made := 0
		l := thread.Local[int]{New: func() int { made++; return 100 }}
		var zero thread.Local[string]
		*l.Get(ctx) = 1
		*zero.Get(ctx) = "main"
		th := thread.Start(ctx, "", func(ctx context.Context) error {
			if *l.Get(ctx) != 100 || *zero.Get(ctx) != "" {
				return fmt.Errorf("a new thread sees %d, %q", *l.Get(ctx), *zero.Get(ctx))
			}
			*l.Get(ctx)++
			*zero.Get(ctx) = "other"
			if *l.Get(ctx) != 101 || *zero.Get(ctx) != "other" {
				return fmt.Errorf("its own value is %d, %q", *l.Get(ctx), *zero.Get(ctx))
			}
			return nil
		})
		if err := th.Join(ctx); err != nil {
			t.Error(err)
		}
		if *l.Get(ctx) != 1 || *zero.Get(ctx) != "main" || made != 2 {
			t.Errorf("afterwards the value is %d, %q; New was called %d times", *l.Get(ctx), *zero.Get(ctx), made)
		}
	})
}
