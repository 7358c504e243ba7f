package rows

import (
	"context"
	"errors"
	"sync"

	"github.com/tristrand/tristrand/bench/internal/measure"
	"github.com/tristrand/tristrand/local"
	"github.com/tristrand/tristrand/thread"
)

// capacity is that of the queues and channels.
const capacity = 128

// queues compares bounded queues of integers: a put and a get in turns on one
// strand, and a strand that puts and one that gets.
func queues() []measure.Row {
	row := measure.Row{
		Name: "queue", What: "put then get, bound 128, one strand; per item",
		Ours: oursQueue(), Floor: channelQueue(), Bound: measure.AtMost(1.5),
	}
	rows := against(row, channelQueue())
	row.Bound = measure.Bound{}
	rows = append(rows, against(row, channelQueueCtx(), python("python-queue", "queue"))...)

	row.Name, row.What = "queue-2", "one strand puts, one gets, bound 128; per item"
	row.Ours, row.Floor, row.Bound = oursPipe(), channelPipe(), measure.AtMost(1.5)
	rows = append(rows, against(row, channelPipe())...)
	row.Bound = measure.Bound{}
	return append(rows, against(row, channelPipeCtx(), python("python-queue", "pipe"))...)
}

// total is what 0 to n-1 add up to.
func total(n int) int { return n * (n - 1) / 2 }

func checkTotal(got, n int) error {
	if want := total(n); got != want {
		return wrong(got, want)
	}
	return nil
}

func oursQueue() measure.Impl {
	return under("local.Queue", func(ctx context.Context, n int) error {
		q := local.NewQueue[int](capacity)
		sum := 0
		for i := range n {
			if err := q.Put(ctx, i); err != nil {
				return err
			}
			v, err := q.Get(ctx)
			if err != nil {
				return err
			}
			sum += v
		}
		return checkTotal(sum, n)
	})
}

func channelQueue() measure.Impl {
	return plain("channel", func(n int) error {
		ch := make(chan int, capacity)
		sum := 0
		for i := range n {
			ch <- i
			sum += <-ch
		}
		return checkTotal(sum, n)
	})
}

// channelQueueCtx honours a ctx, as our queue does and a bare channel does not.
func channelQueueCtx() measure.Impl {
	return under("channel+ctx", func(ctx context.Context, n int) error {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		ch := make(chan int, capacity)
		sum := 0
		for i := range n {
			if err := send(ctx, ch, i); err != nil {
				return err
			}
			v, err := receive(ctx, ch)
			if err != nil {
				return err
			}
			sum += v
		}
		return checkTotal(sum, n)
	})
}

func send(ctx context.Context, ch chan<- int, v int) error {
	select {
	case ch <- v:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func receive(ctx context.Context, ch <-chan int) (int, error) {
	select {
	case v := <-ch:
		return v, nil
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

func oursPipe() measure.Impl {
	return under("local.Queue", func(ctx context.Context, n int) error {
		q := local.NewQueue[int](capacity)
		putter := thread.Start(ctx, "", func(ctx context.Context) error {
			for i := range n {
				if err := q.Put(ctx, i); err != nil {
					return err
				}
			}
			return nil
		})
		sum := 0
		for range n {
			v, err := q.Get(ctx)
			if err != nil {
				return err
			}
			sum += v
		}
		return errors.Join(putter.Join(ctx), checkTotal(sum, n))
	})
}

func channelPipe() measure.Impl {
	return plain("channel", func(n int) error {
		ch := make(chan int, capacity)
		var wg sync.WaitGroup
		wg.Go(func() {
			for i := range n {
				ch <- i
			}
		})
		sum := 0
		for range n {
			sum += <-ch
		}
		wg.Wait()
		return checkTotal(sum, n)
	})
}

func channelPipeCtx() measure.Impl {
	return under("channel+ctx", func(ctx context.Context, n int) error {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		ch := make(chan int, capacity)
		var wg sync.WaitGroup
		var sendErr error
		wg.Go(func() {
			for i := range n {
				if sendErr = send(ctx, ch, i); sendErr != nil {
					return
				}
			}
		})
		sum := 0
		for range n {
			v, err := receive(ctx, ch)
			if err != nil {
				return err
			}
			sum += v
		}
		wg.Wait()
		return errors.Join(sendErr, checkTotal(sum, n))
	})
}
