package rows

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/tristrand/tristrand/bench/internal/measure"
	"github.com/tristrand/tristrand/manager"
	"github.com/tristrand/tristrand/strand"
)

// managers compares our server with CPython's, with clients of both kinds. A
// server is a process of its own, as are Python's clients.
func managers(o Options) []measure.Row {
	ours, peer := goServer(o), cpythonServer()
	pair := func(name, what string, b measure.Bound, load func(manager *hostedBy) measure.Impl) measure.Row {
		r := measure.Row{Name: "manager-" + name + "/cpython", What: what, Bound: b}
		r.Ours, r.Peer = load(ours), load(peer)
		return r
	}
	var rows []measure.Row
	for _, l := range []struct {
		work, what string
		bounds     [3]measure.Bound // with 1, 8 and 64 clients
	}{
		{"dict", "dict set and get", [3]measure.Bound{measure.AtLeast(0.7), measure.AtLeast(2), measure.AtLeast(2)}},
		{"queue", "queue put and get", [3]measure.Bound{}},
		{"lock", "lock acquire and release", [3]measure.Bound{}},
	} {
		for i, clients := range []int{1, 8, 64} {
			rows = append(rows, pair(fmt.Sprintf("%s-py%d", l.work, clients), fmt.Sprintf("%s, Python clients: %d; per pair", l.what, clients), l.bounds[i],
				func(h *hostedBy) measure.Impl { return h.python(o, false, clients, l.work) }))
			if l.work == "dict" {
				rows[len(rows)-1].Floor = nothingServer(o).python(o, false, clients, l.work)
			}
		}
	}
	cpu := pair("dict-py1-cpu", "processor time of the server, a dict's set and get by a Python client", measure.AtMost(0.4),
		func(h *hostedBy) measure.Impl { return h.cpu(o) })
	cpu.Floor = nothingServer(o).cpu(o)
	create := pair("create-py1-tcp", "a Python client makes a list and drops its proxy, over TCP", measure.AtLeast(30),
		func(h *hostedBy) measure.Impl { i := h.python(o, true, 1, "create"); i.N = 20; return i })
	rows = append(rows, cpu, create)
	for _, l := range []struct {
		work, what string
		bounds     [3]measure.Bound
	}{
		{"dict", "dict set and get", [3]measure.Bound{{}, {}, measure.AtLeast(2.5)}},
		{"queue", "queue put and get", [3]measure.Bound{}},
		{"lock", "lock acquire and release, all the same lock", [3]measure.Bound{{}, {}, measure.AtLeast(3)}},
	} {
		for i, clients := range []int{1, 8, 64} {
			rows = append(rows, pair(fmt.Sprintf("%s-go%d", l.work, clients), fmt.Sprintf("%s, Go clients: %d; per pair", l.what, clients), l.bounds[i],
				func(h *hostedBy) measure.Impl { return h.golang(o, clients, l.work, nil) }))
		}
	}
	hand := pair("lock-hand-go64", "a lock given from one of 64 Go clients to another; per time that it is another's", measure.AtLeast(3),
		func(h *hostedBy) measure.Impl { return h.handing(o, 64) })
	return append(append(rows, hand), managerOwn(o, ours)...)
}

// managerOwn are the rows without CPython's server.
func managerOwn(o Options, ours *hostedBy) []measure.Row {
	call := measure.Row{Name: "manager-call/unix-echo", What: "one call of a Go client, a dict's get; 64 bytes there and back", Bound: measure.AtMost(1.5)}
	call.Ours, call.Peer = ours.golang(o, 1, "get", nil), unixEcho(o)
	fair := measure.Row{
		Name: "manager-lock-fair", What: "64 Go clients and one lock: how often the most served had it, to the least served",
		Unit: measure.Count, Absolute: measure.AtMost(1.5), ScaleName: "times",
		Ours: ours.golang(o, 64, "lock", func(served []int) float64 {
			least, most := served[0], served[0]
			for _, n := range served {
				least, most = min(least, n), max(most, n)
			}
			return float64(most) / float64(max(least, 1))
		}),
	}
	idle := measure.Row{
		Name: "manager-idle", What: "resident memory of the server for an idle session, of 1000", Unit: measure.Bytes,
		Absolute: measure.AtMost(16), Scale: 1 << 10, ScaleName: "KiB", Ours: ours.idle(o),
	}
	return []measure.Row{call, fair, idle}
}

const (
	managerKey = "bench"
	errNoSelf  = measure.MissingError("this program cannot be started again")
)

// hostedBy is a kind of server.
type hostedBy struct {
	name  string
	start func(ctx context.Context, address string) (*program, string, error)
}

func goServer(o Options) *hostedBy {
	return &hostedBy{"manager.Server", func(ctx context.Context, address string) (*program, string, error) {
		p, err := startProgram(ctx, o.Self, "-child", "manager-server", address)
		if err != nil {
			return nil, "", err
		}
		return p, p.first, nil
	}}
}

const cpythonSource = `
import sys
from multiprocessing import managers, process
a = sys.argv[1]
if ":" in a:
    h, p = a.rsplit(":", 1); a = (h, int(p))
process.current_process().authkey = b"bench"
s = managers.SyncManager(address=a, authkey=b"bench").get_server()
a = s.address
print("%s:%d" % a if isinstance(a, tuple) else a, flush=True)
s.serve_forever()
`

func cpythonServer() *hostedBy {
	return &hostedBy{"cpython", func(ctx context.Context, address string) (*program, string, error) {
		p, err := startPython(ctx, cpythonSource, address)
		if err != nil {
			return nil, "", err
		}
		return p, p.first, nil
	}}
}

// a managed is a server with a client of ours that has made what is worked on.
type managed struct {
	server  *program
	address string
	c       *manager.Client
	dict    *manager.Dict[string, int]
	queue   *manager.Queue[int]
	lock    *manager.Lock
}

func (h *hostedBy) open(ctx context.Context, o Options, tcp bool) (*managed, error) {
	if o.Self == "" {
		return nil, errNoSelf
	}
	address := filepath.Join(o.Temp, "manager-"+strconv.FormatInt(time.Now().UnixNano(), 36))
	if tcp {
		address = "127.0.0.1:0"
	}
	p, at, err := h.start(ctx, address)
	if err != nil {
		return nil, err
	}
	m := &managed{server: p, address: at}
	if m.c, err = manager.Dial(ctx, at, manager.DialOptions{AuthKey: []byte(managerKey)}); err != nil {
		return nil, errors.Join(err, p.kill())
	}
	var errs [3]error
	m.dict, errs[0] = manager.NewDict[string, int](ctx, m.c)
	m.queue, errs[1] = manager.NewQueue[int](ctx, m.c, 0)
	m.lock, errs[2] = manager.NewLock(ctx, m.c)
	if err := errors.Join(errs[:]...); err != nil {
		return nil, errors.Join(err, m.close())
	}
	return m, nil
}

func (m *managed) close() error { return errors.Join(m.c.Close(), m.server.kill()) }

// python has Python's clients do the work.
func (h *hostedBy) python(o Options, tcp bool, clients int, work string) measure.Impl {
	n := 0
	if clients > 1 { // so that what waking them all costs is little of it
		n = 100 * clients
	}
	return measure.Impl{Name: h.name, N: n, Open: func(ctx context.Context) (measure.Trial, error) {
		m, p, err := h.load(ctx, o, tcp, clients, work)
		if err != nil {
			return measure.Trial{}, err
		}
		return measure.Trial{
			Run: func(n int) (float64, error) {
				n = max(n/clients, 1) * clients
				return p.ask(n)
			},
			Close: func() error { return errors.Join(p.end(), m.close()) },
		}, nil
	}}
}

// load starts a server and Python's clients.
func (h *hostedBy) load(ctx context.Context, o Options, tcp bool, clients int, work string) (*managed, *program, error) {
	m, err := h.open(ctx, o, tcp)
	if err != nil {
		return nil, nil, err
	}
	p, err := startPython(ctx, managerLoad, m.address, strconv.Itoa(clients), work,
		"dict="+m.dict.Proxy().ID(), "Queue="+m.queue.Proxy().ID(), "Lock="+m.lock.Proxy().ID())
	if err != nil {
		return nil, nil, errors.Join(err, m.close())
	}
	return m, p, nil
}

// cpu measures the server's processor time.
func (h *hostedBy) cpu(o Options) measure.Impl {
	return measure.Impl{Name: h.name, Open: func(ctx context.Context) (measure.Trial, error) {
		m, p, err := h.load(ctx, o, false, 1, "dict")
		if err != nil {
			return measure.Trial{}, err
		}
		return measure.Trial{
			Run: func(n int) (float64, error) {
				before, err := cpuTime(m.server.cmd.Process.Pid)
				if err != nil {
					return 0, measure.MissingError(err.Error())
				}
				if _, err := p.ask(n); err != nil {
					return 0, err
				}
				after, err := cpuTime(m.server.cmd.Process.Pid)
				return float64(after - before), err
			},
			Close: func() error { return errors.Join(p.end(), m.close()) },
		}, nil
	}}
}

// golang has clients of ours do the work, each with connections of its own. With
// figure they work for a while, and it says what comes of how often each did.
func (h *hostedBy) golang(o Options, clients int, work string, figure func(served []int) float64) measure.Impl {
	impl := measure.Impl{Name: h.name}
	switch {
	case figure != nil:
		impl.N = 1
	case clients > 1: // so that each has a share
		impl.N = 20 * clients
	}
	impl.Open = func(ctx context.Context) (measure.Trial, error) {
		m, err := h.open(ctx, o, false)
		if err != nil {
			return measure.Trial{}, err
		}
		crowd := make([]func(ctx context.Context, i int) error, clients)
		var own []*manager.Client
		for k := range crowd {
			c, err := manager.Dial(ctx, m.address, manager.DialOptions{AuthKey: []byte(managerKey)})
			if err != nil {
				return measure.Trial{}, errors.Join(err, m.close())
			}
			own = append(own, c)
			if crowd[k], err = goWork(ctx, c, m, k, work); err != nil {
				return measure.Trial{}, errors.Join(err, m.close())
			}
		}
		trial := measure.Trial{Run: measure.Time(func(n int) error { return inCrowd(ctx, crowd, n) })}
		if figure != nil {
			trial.Run = func(int) (float64, error) {
				served, err := forAWhile(ctx, crowd)
				return figure(served), err
			}
		}
		trial.Close = func() error {
			var errs []error
			for _, c := range own {
				errs = append(errs, c.Close())
			}
			return errors.Join(append(errs, m.close())...)
		}
		return trial, nil
	}
	return impl
}

// goWork returns what one client does each time.
func goWork(ctx context.Context, c *manager.Client, m *managed, k int, work string) (func(context.Context, int) error, error) {
	attach := func(b interface{ Proxy() *manager.Proxy }) (*manager.Proxy, error) {
		return c.Attach(ctx, b.Proxy().Type(), b.Proxy().ID())
	}
	switch work {
	case "dict", "get":
		p, err := attach(m.dict)
		if err != nil {
			return nil, err
		}
		d, key := manager.DictOf[string, int](p), strings.Repeat("k", 20)+strconv.Itoa(k)
		if err := d.Set(ctx, key, -1); err != nil {
			return nil, err
		}
		return func(ctx context.Context, i int) error {
			if work == "dict" {
				if err := d.Set(ctx, key, i); err != nil {
					return err
				}
			} else {
				i = -1
			}
			v, _, err := d.Get(ctx, key)
			if err == nil && v != i {
				err = wrong(v, i)
			}
			return err
		}, nil
	case "queue":
		p, err := attach(m.queue)
		if err != nil {
			return nil, err
		}
		q := manager.QueueOf[int](p)
		return func(ctx context.Context, i int) error {
			if err := q.Put(ctx, i); err != nil {
				return err
			}
			_, err := q.Get(ctx)
			return err
		}, nil
	default:
		p, err := attach(m.lock)
		if err != nil {
			return nil, err
		}
		l := manager.LockOf(p)
		return func(ctx context.Context, _ int) error {
			return errors.Join(l.Acquire(ctx), l.Release(ctx))
		}, nil
	}
}

// inCrowd has each of the crowd do its share of n.
func inCrowd(ctx context.Context, crowd []func(context.Context, int) error, n int) error {
	done := make(chan error, len(crowd))
	for _, f := range crowd {
		strand.Go(ctx, strand.Options{Kind: strand.Thread}, func(ctx context.Context) {
			var err error
			for i := 0; i < max(n/len(crowd), 1) && err == nil; i++ {
				err = f(ctx, i)
			}
			done <- err
		})
	}
	var err error
	for range crowd {
		err = errors.Join(err, <-done)
	}
	return err
}

// forAWhile has the crowd work for a second and returns how often each did.
func forAWhile(ctx context.Context, crowd []func(context.Context, int) error) ([]int, error) {
	short, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	served := make([]int, len(crowd))
	done := make(chan error, len(crowd))
	for k, f := range crowd {
		strand.Go(ctx, strand.Options{Kind: strand.Thread}, func(ctx context.Context) {
			var err error
			for i := 0; short.Err() == nil && err == nil; i++ {
				err = f(ctx, i)
				served[k] = i + 1
			}
			done <- err
		})
	}
	var err error
	for range crowd {
		err = errors.Join(err, <-done)
	}
	return served, err
}
