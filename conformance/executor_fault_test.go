package conformance_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/conformance"
	"github.com/tristrand/tristrand/thread"
)

// A faulty executor is a pool with one fault.
type faulty struct {
	*thread.Pool
	submit func(ctx context.Context, j tristrand.Job) error
	close  func(ctx context.Context) error
	stop   func() error
}

func (f *faulty) Submit(ctx context.Context, j tristrand.Job) error {
	if f.submit != nil {
		return f.submit(ctx, j)
	}
	return f.Pool.Submit(ctx, j)
}

func (f *faulty) Close(ctx context.Context) error {
	if f.close != nil {
		return f.close(ctx)
	}
	return f.Pool.Close(ctx)
}

func (f *faulty) Terminate() error {
	if f.stop != nil {
		return f.stop()
	}
	return f.Pool.Terminate()
}

// A job that says something else than it should.
type otherwise struct {
	tristrand.Job
	limits func(tristrand.Limits) tristrand.Limits
	run    func(ctx context.Context) tristrand.Next
}

func (o *otherwise) Limits() tristrand.Limits {
	if o.limits == nil {
		return o.Job.Limits()
	}
	return o.limits(o.Job.Limits())
}

func (o *otherwise) Run(ctx context.Context) tristrand.Next {
	if o.run == nil {
		return o.Job.Run(ctx)
	}
	return o.run(ctx)
}

// faults are ways to be wrong, each with a rule that must see it.
var faults = []struct {
	name, rule string
	make       func(p *thread.Pool) *faulty
}{
	{"no priorities", "jobs of higher priority start first", func(p *thread.Pool) *faulty {
		return &faulty{Pool: p, submit: func(ctx context.Context, j tristrand.Job) error {
			return p.Submit(ctx, &otherwise{Job: j, limits: func(l tristrand.Limits) tristrand.Limits { l.Priority = 0; return l }})
		}}
	}},
	{"last in, first out", "jobs start in the order of submission", func(p *thread.Pool) *faulty {
		var mu sync.Mutex
		n := 0
		return &faulty{Pool: p, submit: func(ctx context.Context, j tristrand.Job) error {
			mu.Lock()
			n++
			rank := n
			mu.Unlock()
			return p.Submit(ctx, &otherwise{Job: j, limits: func(l tristrand.Limits) tristrand.Limits { l.Priority = rank; return l }})
		}}
	}},
	{"one worker too many", "as many jobs run at once as there are workers, and no more", func(p *thread.Pool) *faulty {
		p.Workers++
		return &faulty{Pool: p}
	}},
	{"room for one too many", "TrySubmit to a full queue is ErrFull", func(p *thread.Pool) *faulty {
		p.Queue++
		return &faulty{Pool: p}
	}},
	{"Submit does not wait", "Submit to a full queue waits for room", func(p *thread.Pool) *faulty {
		return &faulty{Pool: p, submit: p.TrySubmit}
	}},
	{"Submit does not mind its ctx", "Submit to a full queue ends with its ctx", func(p *thread.Pool) *faulty {
		return &faulty{Pool: p, submit: func(ctx context.Context, j tristrand.Job) error {
			return p.Submit(context.WithoutCancel(ctx), j)
		}}
	}},
	{"Close drops what is queued", "Close runs everything that was accepted", func(p *thread.Pool) *faulty {
		return &faulty{Pool: p, close: func(ctx context.Context) error { return errors.Join(p.Terminate(), p.Close(ctx)) }}
	}},
	{"Close does not wait", "Close runs everything that was accepted", func(p *thread.Pool) *faulty {
		return &faulty{Pool: p, close: func(ctx context.Context) error { go func() { _ = p.Close(context.Background()) }(); return nil }}
	}},
	{"Close does not mind its ctx", "Close gives up on what does not stop", func(p *thread.Pool) *faulty {
		return &faulty{Pool: p, close: func(ctx context.Context) error {
			time.AfterFunc(time.Hour, func() { _ = p.Terminate() }) // or it would hang
			return p.Close(context.WithoutCancel(ctx))
		}}
	}},
	{"Terminate does nothing", "Terminate drops the queue and cancels what runs", func(p *thread.Pool) *faulty {
		return &faulty{Pool: p, stop: func() error { return nil }}
	}},
	{"Terminate waits", "Terminate does not wait", func(p *thread.Pool) *faulty {
		return &faulty{Pool: p, stop: func() error {
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
			defer cancel()
			_ = p.Terminate()
			return p.Close(ctx)
		}}
	}},
	{"cancelled jobs are not told", "Cancel is true for those jobs alone that never run", func(p *thread.Pool) *faulty {
		return &faulty{Pool: p, submit: func(ctx context.Context, j tristrand.Job) error {
			return p.Submit(ctx, &otherwise{Job: j, run: func(ctx context.Context) tristrand.Next {
				h, ok := tristrand.Lookup(j.Task())
				if !ok {
					return j.Run(ctx)
				}
				out, err := h.Call(ctx, j.Input())
				return j.Finish(out, err)
			}})
		}}
	}},
	{"another try at once", "the pauses double, up to the greatest, less up to half", func(p *thread.Pool) *faulty {
		return &faulty{Pool: p, submit: func(ctx context.Context, j tristrand.Job) error {
			return p.Submit(ctx, &otherwise{Job: j, run: func(ctx context.Context) tristrand.Next {
				next := j.Run(ctx)
				next.After = 0
				return next
			}})
		}}
	}},
	{"a try that is waited for on the worker", "a job that waits for its next try holds no worker", func(p *thread.Pool) *faulty {
		return &faulty{Pool: p, submit: func(ctx context.Context, j tristrand.Job) error {
			return p.Submit(ctx, &otherwise{Job: j, run: func(ctx context.Context) tristrand.Next {
				next := j.Run(ctx)
				for next.Again {
					time.Sleep(next.After)
					next = j.Run(ctx)
				}
				return next
			}})
		}}
	}},
	{"the error of one input is that of its chunk", "an input of a chunk fails alone, in whatever way", func(p *thread.Pool) *faulty {
		return &faulty{Pool: p, submit: func(ctx context.Context, j tristrand.Job) error {
			return p.Submit(ctx, &otherwise{Job: j, run: func(ctx context.Context) tristrand.Next {
				if !strings.HasSuffix(j.Task(), "[]") || !j.Start(func(error) {}) {
					return j.Run(ctx)
				}
				defer j.Finish(nil, tristrand.ErrGoexit) // if Call does not return
				h, _ := tristrand.Lookup(j.Task())
				out, err := h.Call(ctx, j.Input())
				if o, ok := out.(tristrand.Outcomes); ok && len(o.Failures()) > 0 {
					return j.Finish(nil, o.Failures()[0].Err)
				}
				return j.Finish(out, err)
			}})
		}}
	}},
	{"jobs are lost", "every job runs once, whoever submits", func(p *thread.Pool) *faulty {
		var mu sync.Mutex
		n := 0
		return &faulty{Pool: p, submit: func(ctx context.Context, j tristrand.Job) error {
			mu.Lock()
			n++
			lost := n%7 == 0
			mu.Unlock()
			if lost {
				return nil
			}
			return p.Submit(ctx, j)
		}}
	}},
	{"what has run is kept", "what is done is not kept", func(p *thread.Pool) *faulty {
		var all []tristrand.Job
		return &faulty{Pool: p, submit: func(ctx context.Context, j tristrand.Job) error {
			all = append(all, j)
			return p.Submit(ctx, j)
		}, close: func(ctx context.Context) error { all = nil; return p.Close(ctx) }}
	}},
}

const faultEnv = "TRISTRAND_TEST_FAULTS"

// TestFaultyExecutors is what TestExecutorSuiteFindsFaults runs.
func TestFaultyExecutors(t *testing.T) {
	if os.Getenv(faultEnv) == "" {
		t.Skip("run by TestExecutorSuiteFindsFaults, in a process of its own, as its tests fail")
	}
	for _, f := range faults {
		t.Run(f.name, func(t *testing.T) {
			conformance.Executor(t, func(_ context.Context, _ testing.TB, workers, queue int) tristrand.Executor {
				return f.make(&thread.Pool{Workers: workers, Queue: queue})
			}, conformance.ExecutorOptions{Options: conformance.Options{Worlds: []conformance.World{conformance.Bubble}}})
		})
	}
}

// TestExecutorSuiteFindsFaults breaks an executor in many ways, and looks whether
// the rule that is about each fails.
func TestExecutorSuiteFindsFaults(t *testing.T) {
	escaped := func(s string) string { return "^" + regexp.QuoteMeta(strings.ReplaceAll(s, " ", "_")) + "$" }
	for _, f := range faults {
		t.Run(f.name, func(t *testing.T) {
			// A process each: a fault may leave a bubble that cannot end.
			pattern := strings.Join([]string{"^TestFaultyExecutors$", escaped(f.name), "^bubble$", escaped(f.rule)}, "/")
			cmd := exec.Command(os.Args[0], "-test.run", pattern, "-test.v", "-test.timeout=60s") //nolint:gosec // our own binary
			cmd.Env = append(os.Environ(), faultEnv+"=1")
			out, err := cmd.CombinedOutput()
			seen := strings.Contains(string(out), "--- FAIL: TestFaultyExecutors/") || strings.Contains(string(out), "\npanic: deadlock")
			if err == nil || !seen {
				t.Errorf("the rule %q does not see it: %v\n%s", f.rule, err, out)
			}
		})
	}
}
