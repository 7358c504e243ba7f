package rows

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"strconv"
	"time"

	"github.com/tristrand/tristrand/bench/internal/measure"
	"github.com/tristrand/tristrand/coro"
)

// sleepers compares the resident memory of very many coroutines that sleep with that
// of goroutines in time.Sleep. Each run is a process of its own.
func sleepers(o Options) []measure.Row {
	side := func(name, child string) measure.Impl {
		return sleepersIn(o, name, child, 100_000)
	}
	return against(measure.Row{
		Name: "coro-sleepers", What: "100,000 sleeping coroutines: resident memory of one",
		Unit: measure.Bytes, Bound: measure.AtMost(1.25), Ours: side("coro.Sleep", "sleepers-coro"),
	}, side("goroutines", "sleepers-goroutines"))
}

func sleepersIn(o Options, name, side string, n int) measure.Impl {
	o.MapJobs = n // what child gives the process
	return child(o, name, side, func(f Footprint) float64 { return float64(f.PeakResident) / float64(n) })
}

// sleepersChild has so many sleep as arg says and writes how much more memory the
// process has then, as its Footprint's PeakResident.
func sleepersChild(sleep func(ctx context.Context, n int, look func() error) error) func(context.Context, io.Writer, string) error {
	return func(ctx context.Context, w io.Writer, arg string) error {
		n, err := strconv.Atoi(arg)
		if err != nil {
			return err
		}
		runtime.GC()
		before, err := resident("VmRSS")
		if err != nil {
			return err
		}
		var f Footprint
		err = sleep(ctx, n, func() error {
			runtime.GC()
			after, err := resident("VmRSS")
			f.PeakResident = after - before
			return err
		})
		return errors.Join(err, json.NewEncoder(w).Encode(f))
	}
}

// asleepFor is longer than it takes to start them all and look.
const asleepFor = time.Hour

func asleepOnAHub(ctx context.Context, n int, look func() error) error {
	return coro.Run(ctx, func(ctx context.Context) error {
		all := make([]*coro.Coroutine, n)
		began := 0
		for i := range all {
			all[i] = coro.Spawn(ctx, func(ctx context.Context) error {
				began++
				return coro.Sleep(ctx, asleepFor)
			})
		}
		defer func() {
			for _, c := range all {
				c.Kill(nil)
			}
		}()
		if err := coro.Sleep(ctx, 0); err != nil { // all of them have run before this goes on
			return err
		}
		return errors.Join(checkCount(began, n), look())
	})
}

// asleepInGo leaves the goroutines to the end of the process.
func asleepInGo(_ context.Context, n int, look func() error) error {
	began := make(chan struct{}, n)
	for range n {
		go func() {
			began <- struct{}{}
			time.Sleep(asleepFor)
		}()
	}
	for range n {
		<-began
	}
	time.Sleep(10 * time.Millisecond) // the last of them is about to
	return look()
}

// echoOnAHub compares a server on one hub, of coro's own Serve, with a goroutine for
// each connection where both have one processor, and with gevent's StreamServer.
func echoOnAHub(o Options) []measure.Row {
	const conns = 1000
	ours, bare := servedBy(o, "hub", "serve-hub-1"), servedBy(o, "bare-net", "serve-bare-1")
	what := fmt.Sprintf("64 B there and back on %d connections, one hub, GOMAXPROCS=1", conns)
	row := measure.Row{Name: "coro-echo", What: what, Ours: ours.echo(conns), Bound: measure.AtLeast(0.97)}
	all := against(row, bare.echo(conns))
	row = measure.Row{Name: "coro-echo-cpu", What: what + ": the server's processor time", Ours: ours.cpu(conns), Bound: measure.AtMost(1)}
	all = append(all, against(row, bare.cpu(conns))...)
	row.Bound = measure.AtMost(0.5)
	all = append(all, against(row, servedByPython("gevent").cpu(conns))...)
	row = measure.Row{Name: "coro-echo-p99", What: what + ": the slowest of a hundred", Unit: measure.Nanos, Ours: ours.p99(conns), Bound: measure.AtMost(1.2)}
	return append(all, against(row, bare.p99(conns))...)
}

// hubServe is the server on one hub.
func hubServe(ctx context.Context, w io.Writer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() { // the end of its input is its end
		_, _ = io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	say := func(a net.Addr) { fmt.Fprintln(w, a) }
	err := coro.Hubs(1).Serve(ctx, "tcp", "127.0.0.1:0", say, func(_ context.Context, c net.Conn) error {
		defer c.Close()
		if err := echoOn(c, false); !errors.Is(err, io.EOF) {
			return err
		}
		return nil
	})
	if ctx.Err() != nil {
		return nil
	}
	return err
}
