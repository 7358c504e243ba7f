package rows

import (
	"context"
	_ "embed" // serving.py
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/tristrand/tristrand/bench/internal/measure"
)

//go:embed serving.py
var servingScript string

// serving compares servers. Each is a process of its own, as is the load, which is
// here: 64 bytes there and back.
func serving(o Options) []measure.Row {
	var all []measure.Row
	bare, ours := servedBy(o, "bare-net", "serve-bare"), servedBy(o, "threads", "serve-thread")
	netpoll, loop := servedBy(o, "netpoll", "serve-netpoll"), servedBy(o, "epoll-loop", "serve-loop")
	for _, conns := range []int{64, 500} {
		name := fmt.Sprintf("serve-echo-%d", conns)
		row := measure.Row{Name: name, What: fmt.Sprintf("64 B there and back on %d connections, thread model", conns), Ours: ours.echo(conns), Bound: measure.AtLeast(0.95)}
		all = append(all, against(row, bare.echo(conns))...)
		row.Bound = measure.Bound{}
		all = append(all, against(row, netpoll.echo(conns))...)
		row.Name, row.What, row.Ours, row.Bound = name+"-cpu", row.What+": the server's processor time", ours.cpu(conns), measure.AtMost(0.4)
		row.Floor = loop.cpu(conns)
		all = append(all, against(row, servedByPython("threading").cpu(conns))...)
		row.Bound = measure.Bound{}
		all = append(all, against(row, bare.cpu(conns), netpoll.cpu(conns))...)
	}
	all = append(all, servingOnOneCore(o)...)
	all = append(all, servingWrk(o)...)
	once := measure.Row{Name: "serve-once", What: "connections opened, answered once and closed, warm worker processes", Bound: measure.AtLeast(10)}
	once.Ours = servedBy(o, "processes", "serve-process").once()
	all = append(all, against(once, servedByPython("forking").once(), socat("head -c 64").once())...)
	once.Bound = measure.AtLeast(0.65)
	all = append(all, against(once, bare.once())...)
	once.What, once.Ours, once.Bound = "the same, thread model", ours.once(), measure.Bound{}
	once.Name = "serve-once-thread"
	all = append(all, against(once, bare.once())...)

	fresh := measure.Row{Name: "serve-fresh", What: "the same, a fresh process for each", Ours: servedBySmall(o, "fresh", "serve-fresh").once(), Bound: measure.AtLeast(0.45)}
	all = append(all, against(fresh, servedByPython("forking").once())...)
	fresh.Bound = measure.AtLeast(0.85)
	all = append(all, against(fresh, servedBySmall(o, "bare-exec", "serve-exec").once())...)
	first := measure.Row{Name: "serve-first-byte", What: "one connection at a time, far from saturation, a fresh process for each: until the answer", Ours: servedBySmall(o, "fresh", "serve-fresh").first(), Bound: measure.AtMost(0.3)}
	all = append(all, against(first, servedByPython("forking").first())...)

	program := measure.Row{Name: "serve-program", What: "connections answered by head -c 64, a process for each", Ours: command(o, "head", "-c", "64").once()}
	all = append(all, against(program, tcpserver("head", "-c", "64").once(), socat("head -c 64").once())...)

	idle := measure.Row{Name: "serve-idle", What: "memory of an idle connection, thread model", Unit: measure.Bytes, Ours: ours.idle("echo"), Bound: measure.AtMost(1.2)}
	all = append(all, against(idle, bare.idle("echo"))...)
	idle.Name, idle.What, idle.Ours = "serve-idle-lines", "the same, of a handler that reads lines", ours.idle("lines")
	return append(all, against(idle, bare.idle("lines"))...)
}

// servingOnOneCore compares coroutines with goroutines where both have one
// processor, and with gevent.
func servingOnOneCore(o Options) (all []measure.Row) {
	bare, ours := servedBy(o, "bare-net", "serve-bare-1"), servedBy(o, "coroutines", "serve-coro-1")
	netpoll, loop := servedBy(o, "netpoll", "serve-netpoll-1"), servedBy(o, "epoll-loop", "serve-loop-1")
	for _, conns := range []int{64, 500} {
		name, what := fmt.Sprintf("serve-coro-%d", conns), fmt.Sprintf("64 B there and back on %d connections, coroutine model, GOMAXPROCS=1", conns)
		row := measure.Row{Name: name, What: what, Ours: ours.echo(conns), Bound: measure.AtLeast(0.97)}
		all = append(all, against(row, bare.echo(conns))...)
		row = measure.Row{Name: name + "-cpu", What: what + ": the server's processor time", Ours: ours.cpu(conns), Floor: loop.cpu(conns), Bound: measure.AtMost(1)}
		all = append(all, against(row, bare.cpu(conns))...)
		row.Bound = measure.AtMost(0.5)
		all = append(all, against(row, servedByPython("gevent").cpu(conns))...)
		row.Bound = measure.Bound{}
		all = append(all, against(row, netpoll.cpu(conns))...)
		row = measure.Row{Name: name + "-p99", What: what + ": the slowest of a hundred", Unit: measure.Nanos, Ours: ours.p99(conns), Bound: measure.AtMost(1.2)}
		all = append(all, against(row, bare.p99(conns))...)
	}
	idle := measure.Row{Name: "serve-coro-idle", What: "memory of an idle connection, coroutine model", Unit: measure.Bytes, Ours: ours.idle("echo")}
	return append(all, against(idle, bare.idle("echo"))...)
}

// servingWrk has another program make the load, wrk: each request is some lines, and
// each answer a page of 13 bytes.
func servingWrk(o Options) (all []measure.Row) {
	for _, m := range []struct{ name, what, child, bare string }{
		{"thread", "thread model", "serve-thread", "serve-bare"},
		{"process", "two worker processes", "serve-process", "serve-bare"},
		{"coro", "coroutine model, GOMAXPROCS=1", "serve-coro-1", "serve-bare-1"},
	} {
		row := measure.Row{Name: "serve-wrk-" + m.name, What: "HTTP requests by wrk on 64 connections, " + m.what, Ours: servedBy(o, m.name, m.child).wrk()}
		all = append(all, against(row, servedBy(o, "bare-net", m.bare).wrk())...)
	}
	return all
}

// A side is a server to be measured.
type side struct {
	name  string
	start func(ctx context.Context, work string) (*program, error)
}

// servedBy is this program as a server.
func servedBy(o Options, name, child string) side {
	return side{name, func(ctx context.Context, work string) (*program, error) {
		if o.Self == "" {
			return nil, errNoSelf
		}
		if strings.HasPrefix(child, "serve-netpoll") && !hasNetpoll {
			return nil, measure.MissingError("netpoll does not serve on this system")
		}
		if strings.HasPrefix(child, "serve-loop") && !hasLoop {
			return nil, measure.MissingError("there is no epoll on this system")
		}
		word, one := strings.CutSuffix(child, "-1")
		word += "-" + work
		if one {
			word += "-1"
		}
		return startProgram(ctx, o.Self, "-child", word, "0")
	}}
}

// servedBySmall is the small program as a server, with a process for each connection.
func servedBySmall(o Options, name, what string) side {
	build := small(o)
	return side{name, func(ctx context.Context, _ string) (*program, error) {
		if o.Self == "" {
			return nil, errNoSelf
		}
		path, err := build(ctx)
		if err != nil {
			return nil, err
		}
		return startProgram(ctx, path, what)
	}}
}

func servedByPython(kind string) side {
	return side{kind, func(ctx context.Context, work string) (*program, error) {
		if kind != "gevent" {
			return startPython(ctx, servingScript, kind, work)
		}
		for _, python := range []string{"python3", "/usr/bin/python3"} { // a distribution's packages are its own interpreter's
			if exec.CommandContext(ctx, python, "-c", "import gevent").Run() == nil {
				return startProgram(ctx, python, "-c", servingScript, kind, work)
			}
		}
		return nil, measure.MissingError("gevent is not installed")
	}}
}

// shell is a server that cannot say its address: it is told one that was free, and
// asked until it answers.
func shell(name string, args func(port int) []string) side {
	return side{name, func(ctx context.Context, _ string) (*program, error) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		port := l.Addr().(*net.TCPAddr).Port
		_ = l.Close()
		words := args(port)
		path, err := exec.LookPath(words[0])
		if err != nil {
			return nil, measure.MissingError(words[0] + " is not installed")
		}
		p := &program{cmd: exec.CommandContext(ctx, path, words[1:]...), first: fmt.Sprintf("127.0.0.1:%d", port)}
		ownGroup(p.cmd)
		if err := p.cmd.Start(); err != nil {
			return nil, err
		}
		for range 200 {
			c, err := net.Dial("tcp", p.first)
			if err == nil {
				return p, c.Close()
			}
			time.Sleep(10 * time.Millisecond)
		}
		return nil, errors.Join(errors.New(name+" does not listen"), p.kill())
	}}
}

func socat(command string) side {
	return shell("socat", func(port int) []string {
		return []string{"socat", fmt.Sprintf("TCP-LISTEN:%d,bind=127.0.0.1,reuseaddr,fork,backlog=1024,max-children=200", port), "EXEC:" + command}
	})
}

func tcpserver(command ...string) side {
	return shell("tcpserver", func(port int) []string {
		return append([]string{"tcpserver", "-q", "-H", "-R", "-l", "0", "-c", "200", "-b", "1024", "127.0.0.1", fmt.Sprint(port)}, command...)
	})
}

// command is "tristrand serve".
func command(o Options, words ...string) side {
	build := builder(o)
	return side{"tristrand", func(ctx context.Context, work string) (*program, error) {
		path, err := build(ctx)
		if err != nil {
			return nil, err
		}
		return shell("tristrand", func(port int) []string {
			return append([]string{path, "serve", "-q", fmt.Sprintf("127.0.0.1:%d", port), "--"}, words...)
		}).start(ctx, work)
	}}
}

// stop ends a server at once, with what it has started.
func (p *program) stop() error {
	killGroup(p.cmd)
	return p.kill()
}

// echo measures requests on connections that stay open.
func (s side) echo(conns int) measure.Impl {
	return s.loaded(conns, func(_ *program, l *load, n int) (float64, error) { return measure.Time(l.echo)(n) })
}

// cpu is echo that measures the processor time of the server.
func (s side) cpu(conns int) measure.Impl {
	return s.loaded(conns, func(p *program, l *load, n int) (float64, error) {
		before, err := cpuTime(p.cmd.Process.Pid)
		if err != nil {
			return 0, measure.MissingError(err.Error())
		}
		if err := l.echo(n); err != nil {
			return 0, err
		}
		after, err := cpuTime(p.cmd.Process.Pid)
		return float64(after - before), err
	})
}

// p99 measures how long the slowest of a hundred requests takes.
func (s side) p99(conns int) measure.Impl {
	i := s.loaded(conns, func(_ *program, l *load, n int) (float64, error) {
		l.times = make([]int64, 0, n+len(l.conns))
		err := l.echo(n)
		slices.Sort(l.times)
		return float64(l.times[len(l.times)*99/100]), err
	})
	i.N = 20_000
	return i
}

func (s side) loaded(conns int, run func(p *program, l *load, n int) (float64, error)) measure.Impl {
	n := 0
	if conns > 100 { // so many clients take a while until all have their turns
		n = 30_000
	}
	return measure.Impl{Name: s.name, N: n, Open: func(ctx context.Context) (measure.Trial, error) {
		p, err := s.start(ctx, "echo")
		if err != nil {
			return measure.Trial{}, err
		}
		l, err := newLoad(p.first, conns)
		if err != nil {
			return measure.Trial{}, errors.Join(err, p.stop())
		}
		return measure.Trial{
			Run:   func(n int) (float64, error) { return run(p, l, n) },
			Close: func() error { l.close(); return p.stop() },
		}, nil
	}}
}

// once measures connections: 64 at a time are opened, asked once and closed.
func (s side) once() measure.Impl {
	return s.answered(func(address string, n int) (float64, error) {
		return measure.Time(func(n int) error { return clients(address, min(64, n), n) })(n)
	})
}

// first measures single connections with pauses, until the answer.
func (s side) first() measure.Impl {
	i := s.answered(func(address string, n int) (float64, error) {
		total := time.Duration(0)
		for range n {
			time.Sleep(20 * time.Millisecond)
			begin := time.Now()
			if err := clients(address, 1, 1); err != nil {
				return 0, err
			}
			total += time.Since(begin)
		}
		return float64(total), nil
	})
	i.N = 25
	return i
}

// wrk measures requests that wrk makes, for half a second each time.
func (s side) wrk() measure.Impl {
	return measure.Impl{Name: s.name, N: 1, Open: func(ctx context.Context) (measure.Trial, error) {
		path, err := exec.LookPath("wrk")
		if err != nil {
			return measure.Trial{}, measure.MissingError("wrk is not installed")
		}
		p, err := s.start(ctx, "http")
		if err != nil {
			return measure.Trial{}, err
		}
		return measure.Trial{Close: p.stop, Run: func(int) (float64, error) {
			// It takes whole seconds, and SIGINT for the end before.
			ctx, cancel := context.WithTimeout(ctx, wrkTime)
			defer cancel()
			cmd := exec.CommandContext(ctx, path, "-t1", "-c64", "-d10s", "http://"+p.first+"/")
			cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
			out, err := cmd.Output()
			if len(out) == 0 {
				return 0, fmt.Errorf("wrk: %w", err)
			}
			return wrkFigure(string(out))
		}}, nil
	}}
}

const wrkTime = 500 * time.Millisecond

// wrkFigure reads nanoseconds per request from what wrk prints.
func wrkFigure(text string) (float64, error) {
	for _, bad := range []string{"Socket errors", "Non-2xx"} {
		if i := strings.Index(text, bad); i >= 0 {
			line, _, _ := strings.Cut(text[i:], "\n")
			return 0, errors.New("wrk: " + line)
		}
	}
	_, after, ok := strings.Cut(text, "Requests/sec:")
	var rate float64
	if _, err := fmt.Sscan(after, &rate); !ok || err != nil || rate <= 0 {
		return 0, fmt.Errorf("wrk printed no rate: %q", text)
	}
	return 1e9 / rate, nil
}

func (s side) answered(run func(address string, n int) (float64, error)) measure.Impl {
	return measure.Impl{Name: s.name, Open: func(ctx context.Context) (measure.Trial, error) {
		p, err := s.start(ctx, "once")
		if err != nil {
			return measure.Trial{}, err
		}
		return measure.Trial{Run: func(n int) (float64, error) { return run(p.first, n) }, Close: p.stop}, nil
	}}
}

// idle measures the server's memory for a connection on which one request was
// answered.
func (s side) idle(work string) measure.Impl {
	return measure.Impl{Name: s.name, N: 1, Open: func(ctx context.Context) (measure.Trial, error) {
		p, err := s.start(ctx, work)
		if err != nil {
			return measure.Trial{}, err
		}
		var l *load
		return measure.Trial{
			Run: func(int) (float64, error) {
				before, err := residentOf(p.cmd.Process.Pid)
				if err != nil {
					return 0, measure.MissingError(err.Error())
				}
				n := idleConns()
				if l, err = newLoad(p.first, n); err != nil {
					return 0, err
				}
				after, err := residentOf(p.cmd.Process.Pid)
				return float64(after-before) / float64(n), err
			},
			Close: func() error {
				if l != nil {
					l.close()
				}
				return p.stop()
			},
		}, nil
	}}
}

func idleConns() int { return min(20_000, max(100, descriptorLimit()-2000)) }
