package rows

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"time"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/bench/internal/measure"
	"github.com/tristrand/tristrand/process"
	"github.com/tristrand/tristrand/shm"
	"github.com/tristrand/tristrand/thread"
)

// sharing compares what processes share: queues, pipes, arrays, values; and looks at
// what waits and deaths cost.
func sharing(o Options) []measure.Row {
	queue := measure.Row{Name: "shm-queue", What: "items of 64 bytes from one process to another; per item", Ours: sharedQueue(o)}
	rows := bounded(queue, peerBounds{
		{pythonProcess("python-mp-queue", "queue"), measure.AtLeast(10)}, {socketItems(o), measure.AtLeast(3)},
	})
	pipe := measure.Row{Name: "proc-pipe", What: "an integer to another process by process.Pipe, and back", Ours: pipeRound(o)}
	rows = append(rows, bounded(pipe, peerBounds{{pythonProcess("python-pipe", "pipe"), measure.Bound{}}, {netpollEcho(o, false), measure.Bound{}}})...)
	array := measure.Row{Name: "shm-array", What: "an element read and written with the array's lock held", Ours: sharedArray()}
	rows = append(rows, bounded(array, peerBounds{{pythonProcess("python-mp-array", "array"), measure.Bound{}}})...)
	value := measure.Row{Name: "shm-value", What: "a value updated", Ours: sharedValue()}
	rows = append(rows, bounded(value, peerBounds{{pythonProcess("python-mp-value", "value"), measure.Bound{}}})...)
	return append(rows,
		measure.Row{
			Name: "shm-waiters", What: "threads of the system that come with 1000 goroutines which wait for shm locks", Unit: measure.Count,
			Absolute: measure.AtMost(8), ScaleName: "threads", Ours: waiters(o),
		},
		measure.Row{
			Name: "shm-owner-died", What: "from the kill of a lock's holder until who waits for it is told", Unit: measure.PerOp,
			Absolute: measure.AtMost(5), Scale: 1e6, ScaleName: "ms", Ours: ownerDied(o, 0),
		},
		measure.Row{
			Name: "shm-owner-died-large", What: "the same with 512 MiB resident in the holder", Unit: measure.PerOp,
			Absolute: measure.AtMost(5 + 75), Scale: 1e6, ScaleName: "ms", Ours: ownerDied(o, 512<<20),
		})
}

// An item of the queues: its first byte counts, and its last one says whether it is
// the last of a run.
type queued [64]byte

type queueEnds struct {
	Items *shm.Queue[queued]
	Sums  *shm.Queue[int]
}

var consume = tristrand.Define("bench.consume", func(ctx context.Context, q queueEnds) (struct{}, error) {
	sum := 0
	for item, err := range q.Items.All(ctx) {
		if err != nil {
			return struct{}{}, err
		}
		if sum += int(item[0]); item[63] == 1 {
			if err := q.Sums.Put(ctx, sum); err != nil {
				return struct{}{}, err
			}
			sum = 0
		}
	}
	return struct{}{}, nil
})

// items makes n of them one after another, and returns what their first bytes add up to.
func items(n int, put func(queued) error) (sum int, err error) {
	for i := range n {
		var item queued
		item[0] = byte(i % 100)
		if i == n-1 {
			item[63] = 1
		}
		sum += i % 100
		if err := put(item); err != nil {
			return 0, err
		}
	}
	return sum, nil
}

func sharedQueue(o Options) measure.Impl {
	return measure.Impl{Name: "shm.Queue", Open: func(ctx context.Context) (measure.Trial, error) {
		if err := needsSelf(o); err != nil {
			return measure.Trial{}, err
		}
		q, err := shm.NewQueue[queued]("items", 1024)
		if err != nil {
			return measure.Trial{}, err
		}
		sums, err := shm.NewQueue[int]("sums", 1)
		if err != nil {
			return measure.Trial{}, err
		}
		p, err := process.Start(ctx, consume.Bind(queueEnds{q, sums}))
		return measure.Trial{
			Run: measure.Time(func(n int) error {
				want, err := items(n, func(item queued) error { return q.Put(ctx, item) })
				if err != nil {
					return err
				}
				got, err := sums.Get(ctx)
				return expect(got, want, err)
			}),
			Close: func() error {
				return errors.Join(q.Shutdown(ctx, tristrand.Drain), p.Join(ctx), q.Close(), sums.Close())
			},
		}, err
	}}
}

// socketItems writes each item into a Unix socket by itself, as a queue's Put does.
func socketItems(o Options) measure.Impl {
	return measure.Impl{Name: "unix-socket", Open: func(ctx context.Context) (measure.Trial, error) {
		f, err := dialled(ctx, o, "sink")
		if err != nil {
			return measure.Trial{}, err
		}
		return measure.Trial{
			Run: measure.Time(func(n int) error {
				want, err := items(n, func(item queued) error { _, err := f.conn.Write(item[:]); return err })
				if err != nil {
					return err
				}
				var b [8]byte
				_, err = io.ReadFull(f.conn, b[:])
				return expect(int(binary.LittleEndian.Uint64(b[:])), want, err)
			}),
			Close: f.close,
		}, nil
	}}
}

// sink is its other side.
func sink(c io.ReadWriter) error {
	in, sum := bufio.NewReaderSize(c, 64<<10), 0
	for {
		var item queued
		if _, err := io.ReadFull(in, item[:]); err != nil {
			return endOfFile(err)
		}
		if sum += int(item[0]); item[63] == 1 {
			if _, err := c.Write(binary.LittleEndian.AppendUint64(nil, uint64(sum))); err != nil {
				return err
			}
			sum = 0
		}
	}
}

var pipeEchoes = tristrand.Define("bench.pipe-echo", func(ctx context.Context, c *process.Conn[int]) (struct{}, error) {
	for {
		x, err := c.Recv(ctx)
		if err != nil {
			return struct{}{}, endOfFile(err)
		}
		if err := c.Send(ctx, x); err != nil {
			return struct{}{}, err
		}
	}
})

func pipeRound(o Options) measure.Impl {
	return measure.Impl{Name: "process.Pipe", Open: func(ctx context.Context) (measure.Trial, error) {
		if err := needsSelf(o); err != nil {
			return measure.Trial{}, err
		}
		here, there, err := process.Pipe[int]()
		if err != nil {
			return measure.Trial{}, err
		}
		p, err := process.Start(ctx, pipeEchoes.Bind(there))
		return measure.Trial{
			Run: measure.Time(func(n int) error {
				for i := range n {
					if err := here.Send(ctx, i); err != nil {
						return err
					}
					x, err := here.Recv(ctx)
					if err := expect(x, i, err); err != nil {
						return err
					}
				}
				return nil
			}),
			Close: func() error { return errors.Join(here.Close(), p.Join(ctx)) },
		}, err
	}}
}

func sharedArray() measure.Impl {
	return measure.Impl{Name: "shm.Array", Open: func(ctx context.Context) (measure.Trial, error) {
		a, err := shm.NewArray[int64](4)
		if err != nil {
			return measure.Trial{}, unsupported(err)
		}
		return measure.Trial{Close: a.Close, Run: measure.Time(func(n int) error {
			before, err := a.At(1)
			if err != nil {
				return err
			}
			for range n {
				if err := a.Lock().Acquire(ctx); err != nil {
					return err
				}
				x, err := a.At(1)
				if err := errors.Join(err, a.Set(1, x+1), a.Lock().Release(ctx)); err != nil {
					return err
				}
			}
			after, err := a.At(1)
			return expect(after, before+int64(n), err)
		})}, nil
	}}
}

func sharedValue() measure.Impl {
	return measure.Impl{Name: "shm.Value", Open: func(ctx context.Context) (measure.Trial, error) {
		v, err := shm.NewValue("count", int64(0))
		if err != nil {
			return measure.Trial{}, unsupported(err)
		}
		return measure.Trial{Close: v.Close, Run: measure.Time(func(n int) error {
			before, err := v.Load(ctx)
			if err != nil {
				return err
			}
			for range n {
				if _, err := v.Update(ctx, func(x int64) (int64, error) { return x + 1, nil }); err != nil {
					return err
				}
			}
			after, err := v.Load(ctx)
			return expect(after, before+int64(n), err)
		})}, nil
	}}
}

func unsupported(err error) error {
	if errors.Is(err, shm.ErrUnsupported) {
		return measure.MissingError(err.Error())
	}
	return err
}

// waiters asks another process how many threads it has more.
func waiters(o Options) measure.Impl {
	return measure.Impl{Name: "shm.Lock", N: 1, Open: func(ctx context.Context) (measure.Trial, error) {
		return measure.Trial{Run: func(int) (float64, error) {
			out, err := exec.CommandContext(ctx, o.Self, "-child", "shm-waiters", "1000").Output()
			if err != nil {
				return 0, err
			}
			var threads float64
			_, err = fmt.Sscan(string(out), &threads)
			return threads, err
		}}, needsSelf(o)
	}}
}

func waitersChild(ctx context.Context, w io.Writer, arg string) error {
	var n int
	if _, err := fmt.Sscan(arg, &n); err != nil {
		return err
	}
	l, err := shm.NewLock("wanted")
	if err != nil {
		return err
	}
	if err := l.Acquire(ctx); err != nil {
		return err
	}
	before, err := threadsOf("self")
	if err != nil {
		return err
	}
	all := make([]*thread.Thread, n)
	for i := range all {
		all[i] = thread.Start(ctx, "", func(ctx context.Context) error {
			return errors.Join(l.Acquire(ctx), l.Release(ctx))
		})
	}
	for {
		s, err := l.State(ctx)
		if err != nil {
			return err
		}
		if s.Waiting == n {
			break
		}
		time.Sleep(time.Millisecond)
	}
	after, err := threadsOf("self")
	if err := errors.Join(err, l.Release(ctx)); err != nil {
		return err
	}
	for _, t := range all {
		if err := t.Join(ctx); err != nil {
			return err
		}
	}
	_, err = fmt.Fprintln(w, after-before)
	return errors.Join(err, l.Close())
}

// A hold is what the holder is given.
type hold struct {
	Lock    *shm.Lock
	Held    *shm.Event
	Ballast int
}

var holdLock = tristrand.Define("bench.hold", func(ctx context.Context, h hold) (struct{}, error) {
	ballast := []byte(strings.Repeat("x", h.Ballast)) // every page is touched
	if err := errors.Join(h.Lock.Acquire(ctx), h.Held.Set(ctx)); err != nil {
		return struct{}{}, err
	}
	<-ctx.Done()
	return struct{}{}, fmt.Errorf("still here with %d bytes: %w", len(ballast), ctx.Err())
})

// ownerDied kills processes that hold a lock for which a thread waits.
func ownerDied(o Options, ballast int) measure.Impl {
	return measure.Impl{Name: "shm.Lock", N: 5, Open: func(ctx context.Context) (measure.Trial, error) {
		return measure.Trial{Run: func(n int) (float64, error) {
			var all time.Duration
			for range n {
				took, err := deathTold(ctx, ballast)
				if err != nil {
					return 0, err
				}
				all += took
			}
			return float64(all), nil
		}}, needsSelf(o)
	}}
}

func deathTold(ctx context.Context, ballast int) (took time.Duration, err error) {
	l, err1 := shm.NewLock("of the dead")
	held, err2 := shm.NewEvent("held")
	if err := errors.Join(err1, err2); err != nil {
		return 0, unsupported(err)
	}
	defer func() { err = errors.Join(err, l.Close(), held.Close()) }()
	p, err := process.Start(ctx, holdLock.Bind(hold{l, held, ballast}))
	if err != nil {
		return 0, err
	}
	if err := held.Wait(ctx); err != nil {
		return 0, err
	}
	var told time.Time
	waiter := thread.Start(ctx, "", func(ctx context.Context) error {
		err := l.Acquire(ctx)
		told = time.Now()
		if !errors.Is(err, tristrand.ErrOwnerDied) {
			return fmt.Errorf("the lock of a dead process: %w", err)
		}
		return nil
	})
	for {
		s, err := l.State(ctx)
		if err != nil {
			return 0, err
		}
		if s.Waiting > 0 {
			break
		}
		time.Sleep(100 * time.Microsecond)
	}
	begin := time.Now()
	p.Kill()
	err = waiter.Join(ctx)
	_ = p.Join(ctx) // it was killed
	return told.Sub(begin), err
}
