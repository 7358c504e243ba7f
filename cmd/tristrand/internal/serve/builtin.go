package serve

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/tristrand/tristrand/coro"
	"github.com/tristrand/tristrand/server"
)

// The handlers that are built in, by their names on the command line.
var builtin = map[string]server.Handler{
	"echo":      server.Handle("serve.echo", echo),
	"upper":     server.Handle("serve.upper", upper),
	"menu":      server.Handle("serve.menu", menu),
	"discard":   server.Handle("serve.discard", discard),
	"http-file": server.Handle("serve.http-file", files),
}

// Builtin returns the handler of a name, nil if there is none.
func Builtin(name string) server.Handler { return builtin[name] }

// echo sends back what it gets.
func echo(_ context.Context, c *server.Conn) error {
	_, err := io.Copy(c, c)
	return err
}

// upper sends lines back in capitals.
func upper(_ context.Context, c *server.Conn) error {
	for line, err := range c.Lines() {
		if err != nil {
			return err
		}
		if err := c.WriteLine(strings.ToUpper(line)); err != nil {
			return err
		}
	}
	return nil
}

// menu is a telephone line with a machine at its end.
func menu(_ context.Context, c *server.Conn) error {
	if err := c.WriteLine("Welcome. 0: this call is recorded; exit: hang up."); err != nil {
		return err
	}
	for line, err := range c.Lines() {
		if err != nil {
			return err
		}
		answer := "Again, please."
		switch strings.TrimSpace(line) {
		case "0":
			answer = "This call is recorded."
		case "exit":
			return c.WriteLine("Goodbye.")
		}
		if err := c.WriteLine(answer); err != nil {
			return err
		}
	}
	return nil
}

// discard reads and forgets.
func discard(_ context.Context, c *server.Conn) error {
	_, err := io.Copy(io.Discard, c)
	return err
}

// FolderEnv and HeadEnv name the variables that tell where http-file's files are, and
// how long the head of a request may take: they reach worker processes as well.
const (
	FolderEnv = "TRISTRAND_SERVE_FOLDER"
	HeadEnv   = "TRISTRAND_SERVE_HEAD"
)

// folder is what http-file serves; it cannot be left by links or "..".
var folder = sync.OnceValues(func() (*os.Root, error) { return os.OpenRoot(os.Getenv(FolderEnv)) })

// files serves the files of a folder over HTTP. Package net/http waits in ways that a
// hub does not know of. It sees to the end of ctx itself.
func files(ctx context.Context, c *server.Conn) error {
	_, err := coro.Await(context.WithoutCancel(ctx), func(context.Context) (struct{}, error) { return struct{}{}, serveFiles(ctx, c) })
	return err
}

func serveFiles(ctx context.Context, c *server.Conn) error {
	root, err := folder()
	if err != nil {
		return err
	}
	l := &single{conn: make(chan net.Conn, 1), over: make(chan struct{}), addr: c.LocalAddr()}
	l.conn <- &reported{Conn: c, closed: sync.OnceFunc(func() { close(l.over) })}
	head, _ := time.ParseDuration(os.Getenv(HeadEnv)) // an error is 0: no bound
	web := &http.Server{ReadHeaderTimeout: head, Handler: http.FileServerFS(root.FS()), BaseContext: func(net.Listener) context.Context { return ctx }}
	watch := make(chan struct{})
	go func() {
		defer close(watch)
		select {
		case <-l.over:
		case <-ctx.Done():
			_ = web.Close()
		}
	}()
	if err := web.Serve(l); !errors.Is(err, net.ErrClosed) && !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	<-watch
	return nil
}

// single is a listener that has one connection and is closed when that one is.
type single struct {
	conn chan net.Conn
	over chan struct{}
	addr net.Addr
}

func (l *single) Accept() (net.Conn, error) {
	select {
	case c := <-l.conn:
		return c, nil
	default:
	}
	<-l.over
	return nil, net.ErrClosed
}

func (l *single) Close() error   { return nil }
func (l *single) Addr() net.Addr { return l.addr }

// reported tells when it is closed.
type reported struct {
	*server.Conn
	closed func()
}

func (r *reported) Close() error {
	defer r.closed()
	return r.Conn.Close()
}
