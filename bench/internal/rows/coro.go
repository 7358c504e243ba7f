package rows

import (
	"context"
	_ "embed" // coro.py
	"errors"
	"iter"
	"os/exec"
	"slices"
	"sync"

	"github.com/tristrand/tristrand/bench/internal/measure"
	"github.com/tristrand/tristrand/coro"
	"github.com/tristrand/tristrand/local"
)

//go:embed coro.py
var coroScript string

// gevent makes an impl of a function of coro.py, for the first interpreter that
// has greenlet and gevent: Debian's, where they are packages of the system.
func gevent(name, row string) measure.Impl {
	return interpreted(name, row, coroScript, func() (string, error) {
		for _, path := range []string{"python3", "/usr/bin/python3"} {
			if exec.Command(path, "-c", "import greenlet, gevent").Run() == nil {
				return path, nil
			}
		}
		return "", measure.MissingError("greenlet and gevent are not installed; Debian has python3-greenlet and python3-gevent")
	})
}

// coroutines compares what coroutines do: switch, give values, start, hand over, sleep,
// serve.
func coroutines(o Options) []measure.Row {
	return slices.Concat(switches(), generators(), spawns(), sleeps(), handOvers(), sleepers(o), echoOnAHub(o))
}

// ringOf has so many greenlets switch in turn, n times.
func ringOf(size int) measure.Impl {
	return plain("coro.Greenlet", func(n int) error {
		count := 0
		members := make([]*coro.Greenlet, size)
		err := coro.Greenlets(func() error {
			for i := range members {
				members[i] = coro.New(func(any) (any, error) {
					following := members[(i+1)%size]
					for {
						if count++; count >= n {
							return nil, nil
						}
						if _, err := following.Switch(nil); err != nil {
							return nil, err
						}
					}
				})
			}
			_, err := members[0].Switch(nil)
			return err
		})
		if left := new(coro.LeftError); errors.As(err, &left) {
			err = nil // all but one are suspended in the end
		}
		return errors.Join(err, checkCount(count, n))
	})
}

// halfPull is one way of a round trip of iter.Pull, the least that a switch can
// cost.
func halfPull() measure.Impl {
	return plain("iter.Pull/2", func(n int) error {
		count := 0
		next, stop := iter.Pull(func(yield func(int) bool) {
			for yield(count) {
				count++
			}
		})
		defer stop()
		for range n / 2 {
			next()
		}
		return checkCount(count, max(0, n/2-1))
	})
}

func switches() []measure.Row {
	pair := measure.Row{Name: "switch-pair", What: "two greenlets switch to and fro; one way", Ours: ringOf(2), Allocs: -1}
	three := measure.Row{Name: "switch-ring3", What: "three greenlets switch round; one way", Ours: ringOf(3), Allocs: -1}
	eight := measure.Row{Name: "switch-ring8", What: "eight greenlets switch round; one way", Ours: ringOf(8), Allocs: -1}
	with := func(r measure.Row, b measure.Bound) measure.Row { r.Bound = b; return r }
	channel := plain("channel-ping-pong", func(n int) error {
		a, b := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(b)
			for range a {
				b <- struct{}{}
			}
		}()
		for range n / 2 {
			a <- struct{}{}
			<-b
		}
		close(a)
		<-b
		return nil
	})
	return slices.Concat(
		against(with(pair, measure.AtMost(1.25)), halfPull()),
		against(with(pair, measure.AtLeast(2.5)), gevent("greenlet", "pair")),
		against(pair, channel),
		against(with(three, measure.AtMost(1.7)), halfPull()),
		against(three, gevent("greenlet", "ring3")),
		against(with(eight, measure.AtMost(2.2)), halfPull()),
		against(with(eight, measure.AtLeast(1.3)), gevent("greenlet", "ring8")),
	)
}

func generators() []measure.Row {
	row := measure.Row{
		Name: "generator", What: "Next of a generator", Bound: measure.AtMost(1.15), Allocs: -1,
		Ours: plain("coro.Generator", func(n int) error {
			g := coro.NewGenerator(func(yield func(int) (struct{}, error)) error {
				for i := 0; ; i++ {
					if _, err := yield(i); err != nil {
						return err
					}
				}
			})
			sum := 0
			for range n {
				v, err := g.Next()
				if err != nil {
					return err
				}
				sum += v
			}
			return errors.Join(g.Close(), checkCount(sum, n*(n-1)/2))
		}),
	}
	return against(row, plain("iter.Pull", func(n int) error {
		next, stop := iter.Pull(func(yield func(int) bool) {
			for i := 0; yield(i); i++ {
			}
		})
		defer stop()
		sum := 0
		for range n {
			v, _ := next()
			sum += v
		}
		return checkCount(sum, n*(n-1)/2)
	}))
}

// hub makes an impl that runs in a hub of its own.
func hub(name string, run func(ctx context.Context, n int) error) measure.Impl {
	return under(name, func(ctx context.Context, n int) error {
		return coro.Run(ctx, func(ctx context.Context) error { return run(ctx, n) })
	})
}

func spawns() []measure.Row {
	row := measure.Row{
		Name: "spawn", What: "start an empty coroutine and join it",
		Ours: hub("coro.Spawn", func(ctx context.Context, n int) error {
			count := 0
			body := func(context.Context) error { count++; return nil }
			for range n {
				if err := coro.Spawn(ctx, body).Join(ctx); err != nil {
					return err
				}
			}
			return checkCount(count, n)
		}),
	}
	fast := row
	row.Bound, fast.Bound = measure.AtMost(1.5), measure.AtLeast(25)
	return slices.Concat(against(row, plain("goroutine-WaitGroup", func(n int) error {
		count := 0
		for range n {
			var wg sync.WaitGroup
			wg.Go(func() { count++ })
			wg.Wait()
		}
		return checkCount(count, n)
	})), against(fast, gevent("gevent", "spawn")))
}

func sleeps() []measure.Row {
	return against(measure.Row{
		Name: "sleep0", What: "hand over by a sleep of none, between two coroutines", Bound: measure.AtLeast(10), Allocs: -1,
		Ours: hub("coro.Sleep", func(ctx context.Context, n int) error {
			body := func(ctx context.Context) error {
				for range n / 2 {
					if err := coro.Sleep(ctx, 0); err != nil {
						return err
					}
				}
				return nil
			}
			_, err := coro.JoinAll(ctx, []*coro.Coroutine{coro.Spawn(ctx, body), coro.Spawn(ctx, body)})
			return err
		}),
	}, gevent("gevent", "sleep0"))
}

func handOvers() []measure.Row {
	row := measure.Row{
		Name: "coro-queue", What: "hand an item over between two coroutines",
		Ours: hub("local.Queue", func(ctx context.Context, n int) error {
			q, total := local.NewQueue[int](1), 0
			put := coro.Spawn(ctx, func(ctx context.Context) error {
				for i := range n {
					if err := q.Put(ctx, i); err != nil {
						return err
					}
				}
				return nil
			})
			for range n {
				v, err := q.Get(ctx)
				if err != nil {
					return err
				}
				total += v
			}
			return errors.Join(put.Join(ctx), checkCount(total, n*(n-1)/2))
		}),
	}
	bounded := row
	bounded.Bound = measure.AtMost(0.8)
	return slices.Concat(against(bounded, plain("channel", func(n int) error {
		c, total := make(chan int), 0
		go func() {
			for i := range n {
				c <- i
			}
			close(c)
		}()
		for v := range c {
			total += v
		}
		return checkCount(total, n*(n-1)/2)
	})), against(row, gevent("gevent", "queue")))
}
