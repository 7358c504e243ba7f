// Package serve has what "tristrand serve" serves connections with: a program for
// each, or a handler that is built in.
package serve

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/tristrand/tristrand/coro"
	"github.com/tristrand/tristrand/server"
)

// A Program is a handler that runs a program for each connection, which is its
// standard input and output. The program gets the socket itself, as from inetd,
// unless Pump is set.
type Program struct {
	Path string
	Args []string // with the program's name

	// Env is what the program's environment has beside who is served. It is asked when
	// the first connection comes: variables that were meant for the server are gone then.
	Env func() []string

	// Pump passes the bytes on instead of the socket: for TLS, for PROXY headers,
	// and so that the server's time-outs count.
	Pump bool

	// Grace is what the program has between SIGTERM and SIGKILL when the server
	// stops.
	Grace time.Duration
}

// NewProgram finds the program.
func NewProgram(args []string) (*Program, error) {
	path, err := exec.LookPath(args[0])
	if err != nil {
		return nil, err
	}
	return &Program{Path: path, Args: args, Env: sync.OnceValue(os.Environ)}, nil
}

// An ExitError says that a program has not ended with status 0.
type ExitError struct{ State *os.ProcessState }

func (e *ExitError) Error() string { return e.State.String() }

// ServeConn runs the program to its end. Its waits are none that a hub
// knows of, and it sees to the end of ctx itself.
func (p *Program) ServeConn(ctx context.Context, c *server.Conn) error {
	_, err := coro.Await(context.WithoutCancel(ctx), func(context.Context) (struct{}, error) { return struct{}{}, p.serve(ctx, c) })
	return err
}

func (p *Program) serve(ctx context.Context, c *server.Conn) error {
	if p.Pump {
		return p.pump(ctx, c)
	}
	sock, ok := c.NetConn().(interface{ File() (*os.File, error) })
	if !ok {
		return p.pump(ctx, c)
	}
	f, err := sock.File()
	if err != nil {
		return err
	}
	err = p.run(ctx, c, f)
	_ = f.Close()
	unread(c)
	return errors.Join(err, c.Close())
}

// run starts the program with f and waits for its end.
func (p *Program) run(ctx context.Context, c *server.Conn, f *os.File) error {
	proc, err := os.StartProcess(p.Path, p.Args, &os.ProcAttr{
		Files: []*os.File{f, f, os.Stderr}, Env: append(environment(c), p.Env()...), Sys: ownGroup(),
	})
	if err != nil {
		return fmt.Errorf("starting the program: %w", err)
	}
	ended := make(chan struct{})
	stopped := make(chan struct{})
	unwatch := context.AfterFunc(ctx, func() {
		defer close(stopped)
		p.stop(proc, ended)
	})
	state, err := proc.Wait()
	close(ended)
	if !unwatch() {
		<-stopped
	}
	if err != nil {
		return err
	}
	if !state.Success() {
		return &ExitError{state}
	}
	return nil
}

// stop ends the program and what it has started.
func (p *Program) stop(proc *os.Process, ended <-chan struct{}) {
	signalGroup(proc, syscall.SIGTERM)
	t := time.NewTimer(p.Grace)
	defer t.Stop()
	select {
	case <-ended:
	case <-t.C:
		signalGroup(proc, syscall.SIGKILL)
	}
}

// pump runs the program with one end of a socket pair and passes bytes on.
func (p *Program) pump(ctx context.Context, c *server.Conn) error {
	ours, theirs, err := socketPair()
	if err != nil {
		return err
	}
	in := make(chan struct{})
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		_, err := io.Copy(ours, c) // what the client sends
		if err != nil && errors.Is(err, os.ErrDeadlineExceeded) {
			cancel(err) // a time-out ends the program
		}
		_ = ours.CloseWrite()
		close(in)
	}()
	out := make(chan error, 1)
	go func() {
		_, err := io.Copy(c, ours)
		_ = c.CloseWrite()
		if err != nil {
			_ = ours.Close() // the program's writes fail, as if it had the socket
		}
		out <- err
	}()
	err = p.run(ctx, c, theirs)
	_ = theirs.Close()
	if cause := context.Cause(ctx); cause != nil && errors.Is(cause, os.ErrDeadlineExceeded) {
		err = cause
	}
	outErr := <-out // all that it has written
	_ = c.Close()
	_ = ours.Close()
	<-in
	if err == nil && !errors.Is(outErr, net.ErrClosed) {
		err = outErr
	}
	return err
}

// environment says who is served, in the words of tcpserver (ucspi-tcp).
func environment(c *server.Conn) []string {
	remote, local := c.RemoteAddr(), c.LocalAddr()
	proto := strings.ToUpper(strings.TrimRight(remote.Network(), "46"))
	env := []string{"PROTO=" + proto}
	for prefix, a := range map[string]net.Addr{"REMOTE": remote, "LOCAL": local} {
		var ip net.IP
		var port int
		switch a := a.(type) {
		case *net.TCPAddr:
			ip, port = a.IP, a.Port
		case *net.UDPAddr:
			ip, port = a.IP, a.Port
		case *net.UnixAddr:
			env = append(env, "UNIX"+prefix+"PATH="+a.Name)
			continue
		default:
			continue
		}
		env = append(env, proto+prefix+"IP="+ip.String(), proto+prefix+"PORT="+strconv.Itoa(port))
	}
	return env
}
