package rows

import (
	"bufio"
	"context"
	_ "embed" // manager_load.py
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/tristrand/tristrand/bench/internal/measure"
	"github.com/tristrand/tristrand/internal/mpwire"
	"github.com/tristrand/tristrand/internal/pickle"
	"github.com/tristrand/tristrand/manager"
)

//go:embed manager_load.py
var managerLoad string

// a program is another process that says a line when it is ready, and then
// answers each line with one.
type program struct {
	cmd    *exec.Cmd
	in     io.WriteCloser
	out    *bufio.Reader
	stderr strings.Builder
	first  string
}

func startPython(ctx context.Context, source string, args ...string) (*program, error) {
	path, err := exec.LookPath("python3")
	if err != nil {
		return nil, measure.MissingError("python3 is not installed")
	}
	if binary, err := exec.CommandContext(ctx, path, "-c", "import sys; print(sys.executable)").Output(); err == nil {
		path = strings.TrimSpace(string(binary)) // not a script that starts it
	}
	return startProgram(ctx, path, append([]string{"-c", source}, args...)...)
}

func startProgram(ctx context.Context, path string, args ...string) (*program, error) {
	p := &program{cmd: exec.CommandContext(ctx, path, args...)}
	p.cmd.Stderr = &p.stderr
	var err error
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	p.out = bufio.NewReader(out)
	if p.first, err = p.out.ReadString('\n'); err != nil {
		return nil, errors.Join(fmt.Errorf("%s did not start: %w", path, err), p.kill(), errors.New(p.stderr.String()))
	}
	p.first = strings.TrimSpace(p.first)
	return p, nil
}

// ask has n operations done and returns the nanoseconds.
func (p *program) ask(n int) (float64, error) {
	if _, err := fmt.Fprintln(p.in, n); err != nil {
		return 0, err
	}
	line, err := p.out.ReadString('\n')
	if err != nil {
		return 0, fmt.Errorf("%w: %s", err, strings.TrimSpace(p.stderr.String()))
	}
	return strconv.ParseFloat(strings.TrimSpace(line), 64)
}

// end closes the program's input and waits for it.
func (p *program) end() error {
	_ = p.in.Close() // its end of file
	if err := p.cmd.Wait(); err != nil {
		return fmt.Errorf("%w: %s", err, strings.TrimSpace(p.stderr.String()))
	}
	return nil
}

// kill ends the program.
func (p *program) kill() error {
	_ = p.cmd.Process.Kill() // it may have ended
	_ = p.cmd.Wait()         // it was killed
	return nil
}

// managerChild serves, in a process of its own, what another measures.
func managerChild(ctx context.Context, w io.Writer, side, address string) error {
	l, err := manager.Listen(address)
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintln(w, l.Addr()); err != nil {
		return err
	}
	switch side {
	case "manager-nothing":
		return serveNothing(l)
	case "manager-server":
		return (&manager.Server{AuthKey: []byte(managerKey)}).Serve(ctx, l)
	}
	c, err := l.Accept() // manager-echo
	if err != nil {
		return err
	}
	_, err = io.Copy(c, struct{ io.Reader }{c})
	return err
}

const echoBytes = 64

// unixEcho sends bytes to another Go process and waits until they are back.
func unixEcho(o Options) measure.Impl {
	return measure.Impl{Name: "unix-echo", Open: func(ctx context.Context) (measure.Trial, error) {
		if o.Self == "" {
			return measure.Trial{}, errNoSelf
		}
		address := o.Temp + "/echo-" + strconv.FormatInt(time.Now().UnixNano(), 36)
		p, err := startProgram(ctx, o.Self, "-child", "manager-echo", address)
		if err != nil {
			return measure.Trial{}, err
		}
		c, err := net.Dial("unix", p.first)
		if err != nil {
			return measure.Trial{}, errors.Join(err, p.kill())
		}
		buf := make([]byte, echoBytes)
		return measure.Trial{
			Run: measure.Time(func(n int) error {
				for range n {
					if _, err := c.Write(buf); err != nil {
						return err
					}
					if _, err := io.ReadFull(c, buf); err != nil {
						return err
					}
				}
				return nil
			}),
			Close: func() error { return errors.Join(c.Close(), p.kill()) },
		}, nil
	}}
}

const idleSessions = 1000

// idle opens sessions that do nothing and looks at the server's memory.
func (h *hostedBy) idle(o Options) measure.Impl {
	return measure.Impl{Name: h.name, N: 1, Open: func(ctx context.Context) (measure.Trial, error) {
		m, err := h.open(ctx, o, false)
		if err != nil {
			return measure.Trial{}, err
		}
		var conns []net.Conn
		return measure.Trial{
			Run: func(int) (float64, error) {
				before, err := residentOf(m.server.cmd.Process.Pid)
				if err != nil {
					return 0, measure.MissingError(err.Error())
				}
				for range idleSessions {
					c, err := idleSession(m)
					if err != nil {
						return 0, err
					}
					conns = append(conns, c)
				}
				after, err := residentOf(m.server.cmd.Process.Pid)
				return float64(after-before) / idleSessions, err
			},
			Close: func() error {
				for _, c := range conns {
					_ = c.Close() // the server ends, too
				}
				return m.close()
			},
		}, nil
	}}
}

// idleSession opens one as Python's client does, and makes one call.
func idleSession(m *managed) (net.Conn, error) {
	c, err := net.Dial("unix", m.address)
	if err != nil {
		return nil, err
	}
	r := mpwire.NewReader(c, 256)
	if err := (mpwire.Auth{Key: []byte(managerKey)}).Greet(r, c); err != nil {
		return nil, err
	}
	for _, v := range []pickle.Tuple{
		{nil, "accept_connection", pickle.Tuple{"MainProcess"}, new(pickle.Dict)},
		{m.dict.Proxy().ID(), "__len__", pickle.Tuple{}, new(pickle.Dict)},
	} {
		b, err := pickle.Marshal(nil, v)
		if err != nil {
			return nil, err
		}
		if err := mpwire.WriteFrame(c, b); err != nil {
			return nil, err
		}
		if _, err := r.Next(); err != nil {
			return nil, err
		}
	}
	return c, nil
}

func residentOf(pid int) (int64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kib, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			return kib << 10, err
		}
	}
	return 0, errors.New("the process has no VmRSS")
}

// threadsOf returns how many threads of the system a process has.
func threadsOf(pid string) (int, error) {
	b, err := os.ReadFile("/proc/" + pid + "/status")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, "Threads:"); ok {
			return strconv.Atoi(strings.TrimSpace(rest))
		}
	}
	return 0, errors.New("the process has no Threads")
}
