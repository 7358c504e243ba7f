package rows

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hibiken/asynq"

	"github.com/tristrand/tristrand/bench/internal/measure"
)

// asynqSlots is how many jobs its worker runs at once: of 10, 64 and 256 the best here.
const asynqSlots = 64

// asynqChild is a worker: its argument is the address of Redis and how often it looks
// for work when there is none.
func asynqChild(_ context.Context, w io.Writer, arg string) error {
	addr, text, _ := strings.Cut(arg, ",")
	every, err := time.ParseDuration(text)
	if err != nil {
		return err
	}
	srv := asynq.NewServer(asynq.RedisClientOpt{Addr: addr}, asynq.Config{
		Concurrency: asynqSlots, TaskCheckInterval: every, LogLevel: asynq.FatalLevel,
	})
	echo := func(_ context.Context, t *asynq.Task) error {
		_, err := t.ResultWriter().Write(t.Payload())
		return err
	}
	if err := srv.Start(asynq.HandlerFunc(echo)); err != nil {
		return err
	}
	fmt.Fprintln(w, "ready")
	_, err = io.Copy(io.Discard, os.Stdin)
	srv.Shutdown()
	return err
}

// An asynqTrial is a client, its Redis and its worker.
type asynqTrial struct {
	redis  *redis
	worker *program
	client *asynq.Client
	look   *asynq.Inspector
	done   int
}

func openAsynq(ctx context.Context, o Options, sync bool, every time.Duration) (*asynqTrial, error) {
	r, err := startRedis(o, sync)
	if err != nil {
		return nil, err
	}
	w, err := startSide(ctx, o, "asynq-worker", fmt.Sprintf("%s,%v", r.addr, every))
	if err != nil {
		return nil, errors.Join(err, r.close())
	}
	opt := asynq.RedisClientOpt{Addr: r.addr, PoolSize: clusterSubmitters}
	return &asynqTrial{redis: r, worker: w, client: asynq.NewClient(opt), look: asynq.NewInspector(opt)}, nil
}

func (a *asynqTrial) close() error {
	return errors.Join(a.client.Close(), a.look.Close(), a.worker.kill(), a.redis.close())
}

// many submits n jobs and waits until all are done, whose results are stored, and not
// fetched: there is no way but to ask for each.
func (a *asynqTrial) many(n int) error {
	var wg sync.WaitGroup
	var next atomic.Int64
	errs := make([]error, clusterSubmitters)
	for i := range errs {
		wg.Go(func() {
			for errs[i] == nil && int(next.Add(1)) <= n {
				_, errs[i] = a.client.Enqueue(asynq.NewTask("echo", payload100), asynq.Retention(time.Hour))
			}
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	a.done += n
	for {
		q, err := a.look.GetQueueInfo("default")
		switch {
		case err != nil:
			return err
		case q.Completed >= a.done:
			return nil
		case q.Archived+q.Retry > 0:
			return fmt.Errorf("%d jobs have failed", q.Archived+q.Retry)
		}
		time.Sleep(time.Millisecond)
	}
}

// one submits a job and asks for its result until it is there.
func (a *asynqTrial) one() error {
	info, err := a.client.Enqueue(asynq.NewTask("echo", payload100), asynq.Retention(time.Hour))
	if err != nil {
		return err
	}
	for {
		got, err := a.look.GetTaskInfo("default", info.ID)
		if err != nil {
			return err
		}
		if got.State == asynq.TaskStateCompleted {
			return expect(string(got.Result), string(payload100), nil)
		}
		time.Sleep(50 * time.Microsecond)
	}
}

// asynqJobs is how many jobs a run has: so many that what it sleeps before the first does
// not count.
const asynqJobs = 3000

func asynqMany(o Options, sync bool) measure.Impl {
	return measure.Impl{Name: "asynq", N: asynqJobs, Open: func(ctx context.Context) (measure.Trial, error) {
		a, err := openAsynq(ctx, o, sync, 10*time.Millisecond)
		if err != nil {
			return measure.Trial{}, err
		}
		if err := a.many(asynqJobs / 20); err != nil {
			return measure.Trial{}, errors.Join(err, a.close())
		}
		return measure.Trial{Run: measure.Time(a.many), Close: a.close}, nil
	}}
}

// asynqIdle has n jobs done, each of which finds the worker without work for a while.
func asynqIdle(o Options, name string, every time.Duration, n int) measure.Impl {
	return measure.Impl{Name: name, N: n, Open: func(ctx context.Context) (measure.Trial, error) {
		a, err := openAsynq(ctx, o, false, every)
		if err != nil {
			return measure.Trial{}, err
		}
		return measure.Trial{Run: func(n int) (float64, error) {
			return medianOf(n, 0, a.one)
		}, Close: a.close}, nil
	}}
}
