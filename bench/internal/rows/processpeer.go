package rows

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"time"

	"github.com/tristrand/tristrand/bench/internal/measure"
)

// A far is another process of this program, and a connection to it.
type far struct {
	conn *net.UnixConn
	cmd  *exec.Cmd
}

// dialled starts this program as a side that connects to us.
func dialled(ctx context.Context, o Options, side string) (*far, error) {
	if err := needsSelf(o); err != nil {
		return nil, err
	}
	address := o.Temp + "/far-" + strconv.FormatInt(time.Now().UnixNano(), 36)
	l, err := net.Listen("unix", address)
	if err != nil {
		return nil, err
	}
	defer l.Close()
	cmd := exec.CommandContext(ctx, o.Self, "-child", "far-"+side, address)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	c, err := l.Accept()
	if err != nil {
		return nil, errors.Join(err, cmd.Process.Kill(), cmd.Wait())
	}
	return &far{c.(*net.UnixConn), cmd}, nil
}

func (f *far) close() error {
	err := f.conn.Close() // its end of file
	return errors.Join(err, f.cmd.Wait())
}

// farChild is the other side.
func farChild(side, address string) error {
	c, err := net.Dial("unix", address)
	if err != nil {
		return err
	}
	defer c.Close()
	switch side {
	case "far-netpoll":
		return echo(c, c)
	case "far-payload":
		return payloadEcho(c)
	case "far-sink":
		return sink(c)
	case "far-blocking":
		f, err := blocking(c.(*net.UnixConn))
		if err != nil {
			return err
		}
		defer f.Close()
		return echo(rawFile(f.Fd()), rawFile(f.Fd()))
	}
	return fmt.Errorf("there is no side %s", side)
}

// echo sends back what comes.
func echo(r io.Reader, w io.Writer) error {
	buf := make([]byte, echoBytes)
	for {
		if _, err := io.ReadFull(r, buf); err != nil {
			return endOfFile(err)
		}
		if _, err := w.Write(buf); err != nil {
			return err
		}
	}
}

func endOfFile(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// rounds sends echoBytes and waits until they are back, n times.
func rounds(r io.Reader, w io.Writer, n int, idle bool) (float64, error) {
	buf := make([]byte, echoBytes)
	call := func(i int) error {
		buf[0] = byte(i)
		if _, err := w.Write(buf); err != nil {
			return err
		}
		_, err := io.ReadFull(r, buf)
		return expect(buf[0], byte(i), err)
	}
	if idle {
		return apart(n, call)
	}
	return measure.Time(func(n int) error {
		for i := range n {
			if err := call(i); err != nil {
				return err
			}
		}
		return nil
	})(n)
}

// netpollEcho is an echo by net.Conn on both sides.
func netpollEcho(o Options, idle bool) measure.Impl {
	return measure.Impl{Name: "unix-netpoll", Open: func(ctx context.Context) (measure.Trial, error) {
		f, err := dialled(ctx, o, "netpoll")
		if err != nil {
			return measure.Trial{}, err
		}
		return measure.Trial{
			Run:   func(n int) (float64, error) { return rounds(f.conn, f.conn, n, idle) },
			Close: f.close,
		}, nil
	}}
}

// blockingEcho is one by system calls that block.
func blockingEcho(o Options, idle bool) measure.Impl {
	return measure.Impl{Name: "unix-blocking", Open: func(ctx context.Context) (measure.Trial, error) {
		f, err := dialled(ctx, o, "blocking")
		if err != nil {
			return measure.Trial{}, err
		}
		file, err := blocking(f.conn)
		if err != nil {
			return measure.Trial{}, errors.Join(err, f.close())
		}
		return measure.Trial{
			Run:   func(n int) (float64, error) { return rounds(rawFile(file.Fd()), rawFile(file.Fd()), n, idle) },
			Close: func() error { return errors.Join(file.Close(), f.close()) },
		}, nil
	}}
}

// pipeEcho is an echo through two anonymous pipes, by *os.File.
func pipeEcho(o Options) measure.Impl {
	return measure.Impl{Name: "pipes", Open: func(ctx context.Context) (measure.Trial, error) {
		if err := needsSelf(o); err != nil {
			return measure.Trial{}, err
		}
		p, err := startProgram(ctx, o.Self, "-child", "pipes", "0")
		if err != nil {
			return measure.Trial{}, err
		}
		return measure.Trial{
			Run:   func(n int) (float64, error) { return rounds(p.out, p.in, n, false) },
			Close: p.end,
		}, nil
	}}
}

// pipesChild is its other side.
func pipesChild(w io.Writer) error {
	if _, err := fmt.Fprintln(w, "ready"); err != nil {
		return err
	}
	return echo(os.Stdin, w)
}
