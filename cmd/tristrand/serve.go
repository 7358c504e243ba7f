package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/tristrand/tristrand/cmd/tristrand/internal/serve"
	"github.com/tristrand/tristrand/server"
)

// serveCmd is "tristrand serve".
type serveCmd struct {
	Address string   `arg:"" optional:"" help:"Where to listen: host:port, :port, unix:/path, udp:host:port, or inherited from systemd."`
	Program []string `arg:"" optional:"" passthrough:"partial" help:"The program and its arguments, or the folder of http-file."`

	Model         string `enum:"thread,process,coro,inline" default:"thread" help:"What serves a connection: ${enum}. A program is a process of its own on any of them."`
	Handler       string `placeholder:"NAME" help:"Serve by a built-in handler instead of a program: echo, upper, menu, discard, or http-file, after whose address comes the folder."`
	Workers       int    `short:"j" placeholder:"N" help:"Worker processes, or hubs of coroutines; 0, the default, is the number of processors."`
	PerConnection bool   `help:"With --model process: a fresh process for each connection."`

	Max        int      `placeholder:"N" help:"Connections at once; the default is 0, any number, and 1000 for a program."`
	WhenFull   string   `enum:"wait,refuse" default:"wait" help:"What becomes of more than --max: ${enum}."`
	LimitPerIP int      `name:"limit-per-ip" placeholder:"N" help:"Connections at once from one address, of IPv6 a /64; more are refused."`
	Idle       duration `placeholder:"D" help:"Hang up when a client has sent nothing, and was sent nothing, for so long."`
	Read       duration `name:"read-timeout" placeholder:"D" help:"Hang up when a client does not end a line, or the head of a request, in so long, however slowly it sends; without --idle that is so long, too."`
	Write      duration `name:"write-timeout" placeholder:"D" help:"Hang up when a client does not read for so long."`
	Drain      duration `default:"10s" placeholder:"D" help:"How long connections may go on after SIGTERM or Ctrl-C; ${default}."`
	Grace      duration `default:"2s" placeholder:"D" help:"How long handlers have after that until they are cut, and programs between SIGTERM and SIGKILL; ${default}."`

	TLSCert     string   `name:"tls-cert" placeholder:"FILE" help:"Serve TLS with this certificate (PEM); it is read again when it changes."`
	TLSKey      string   `name:"tls-key" placeholder:"FILE" help:"Its key; the default is the file of the certificate."`
	TLSClientCA string   `name:"tls-client-ca" placeholder:"FILE" help:"Ask clients for certificates that one of these has signed."`
	Proxy       []string `placeholder:"CIDR" help:"Networks of load balancers, whose connections begin with a PROXY header."`

	Backlog int    `placeholder:"N" help:"Connections that the kernel keeps until they are accepted."`
	Shards  int    `placeholder:"N" help:"Sockets that share the address (SO_REUSEPORT)."`
	Log     string `enum:"text,json" default:"text" help:"How to log on standard error: ${enum}."`
	Verbose bool   `short:"v" help:"Log each connection."`
	Quiet   bool   `short:"q" help:"Log nothing but what ends the server."`
}

// Help is shown by "tristrand serve --help".
func (*serveCmd) Help() string {
	return `Examples:

  tristrand serve :7000 -- cat
  tristrand serve --max 50 --limit-per-ip 2 :7000 -- ./quiz --level 3
  tristrand serve --handler menu --model process :7000
  tristrand serve --handler http-file :8080 ./public
  tristrand serve --tls-cert cert.pem --tls-key key.pem :7443 -- ./chat
  systemd-socket-activate -l 7000 tristrand serve inherited -- cat

A program gets the connection as its standard input and output, and standard error from here; the variables PROTO, TCPREMOTEIP, TCPREMOTEPORT, TCPLOCALIP and TCPLOCALPORT say who is served, as with tcpserver. It gets the socket itself, so that nothing is copied, unless there is TLS, --proxy, --idle or --write-timeout to see to.

SIGTERM and Ctrl-C: who is connected, also in the kernel's queue, is served; nobody else is. After --drain handlers are told to stop and programs get SIGTERM, after --grace they are cut and killed. A second signal ends the command at once.

Exit codes: 0 the server was stopped and nobody was cut, 1 somebody was, or it could not serve, 2 wrong usage.`
}

// Validate is called by kong before Run, so that these are errors of usage.
func (c *serveCmd) Validate() error {
	addr, rest := c.split()
	switch {
	case addr == "":
		return errors.New(`no address: give one, as in "tristrand serve :7000 -- cat"`)
	case len(rest) == 0 && c.Handler == "" && !strings.Contains(addr, ":") && addr != "inherited":
		return fmt.Errorf(`%q is no address: give one first, as in "tristrand serve :7000 -- %s"`, addr, addr)
	case c.Handler == "" && len(rest) == 0:
		return fmt.Errorf(`nothing to serve with: give a program, as in "tristrand serve %s -- cat", or a --handler`, addr)
	case c.Handler != "" && serve.Builtin(c.Handler) == nil:
		return fmt.Errorf("--handler %s: there is none of that name; want echo, upper, menu, discard or http-file", c.Handler)
	case c.Handler != "" && c.Handler != "http-file" && len(rest) > 0:
		return fmt.Errorf("--handler %s and the program %q exclude each other", c.Handler, rest[0])
	case c.Handler == "http-file" && len(rest) > 1:
		return fmt.Errorf("--handler http-file takes one folder, not %d", len(rest))
	case c.Handler == "" && c.Model == "process":
		return errors.New("--model process is for a --handler: a program is a process for each connection on any model")
	case c.Handler == "" && c.Read > 0:
		return errors.New("--read-timeout is for a --handler: what a message is for a program is not known here; --idle is for both")
	case c.PerConnection && c.Model != "process":
		return errors.New("--per-connection is for --model process")
	case c.Max < 0 || c.LimitPerIP < 0 || c.Workers < 0 || c.Backlog < 0 || c.Shards < 0:
		return errors.New("numbers of connections, workers, sockets and places cannot be negative; 0 is the default")
	case c.TLSKey != "" && c.TLSCert == "":
		return errors.New("--tls-key needs --tls-cert")
	case c.TLSClientCA != "" && c.TLSCert == "":
		return errors.New("--tls-client-ca needs --tls-cert")
	}
	_, err := c.proxies()
	return err
}

// split takes the address and what follows it apart. The folder of http-file may
// come first.
func (c *serveCmd) split() (addr string, rest []string) {
	addr, rest = c.Address, c.Program
	if len(rest) > 0 && rest[0] == "--" {
		rest = rest[1:]
	}
	if info, err := os.Stat(addr); c.Handler == "http-file" && len(rest) == 1 && err == nil && info.IsDir() {
		return rest[0], []string{addr}
	}
	return addr, rest
}

func (c *serveCmd) proxies() (all []netip.Prefix, err error) {
	for _, text := range c.Proxy {
		p, err := netip.ParsePrefix(text)
		if addr, addrErr := netip.ParseAddr(text); addrErr == nil {
			p, err = addr.Prefix(addr.BitLen())
		}
		if err != nil {
			return nil, fmt.Errorf("--proxy %s: want an address or a network such as 10.0.0.0/8", text)
		}
		all = append(all, p)
	}
	return all, nil
}

// maxPrograms bounds programs by default: a thread waits for each.
const maxPrograms = 1000

// Run serves until a signal.
func (c *serveCmd) Run(ctx context.Context, out streams) error {
	log := c.logger(out.err)
	s, err := c.server(log)
	if err != nil {
		return err
	}
	if err := s.Listen(ctx); err != nil {
		return err
	}
	log.Info("listening", "address", s.ListenAddr().String(), "network", s.ListenAddr().Network(), "model", c.Model)
	begin := time.Now()
	err = s.Serve(ctx)
	st := s.Stats()
	log.Info("stopped", "seconds", time.Since(begin).Seconds(), "accepted", st.Accepted, "refused", st.Refused,
		"failed", st.Failed, "crashed", st.Crashed, "timed_out", st.TimedOut, "cut", st.Cut)
	return err
}

func (c *serveCmd) logger(w io.Writer) *slog.Logger {
	level := slog.LevelInfo
	switch {
	case c.Verbose:
		level = slog.LevelDebug
	case c.Quiet:
		level = slog.LevelError + 1
	}
	options := &slog.HandlerOptions{Level: level}
	if c.Log == "json" {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}

// server makes the server of the command line.
func (c *serveCmd) server(log *slog.Logger) (*server.Server, error) {
	addr, rest := c.split()
	proxies, err := c.proxies()
	if err != nil {
		return nil, err
	}
	s := &server.Server{
		Addr: addr, MaxConns: c.Max, MaxPerAddr: c.LimitPerIP, Proxy: proxies, Backlog: c.Backlog, Shards: c.Shards,
		IdleTimeout: time.Duration(c.Idle), ReadTimeout: time.Duration(c.Read), WriteTimeout: time.Duration(c.Write), CertFile: c.TLSCert, KeyFile: c.TLSKey, ClientCAFile: c.TLSClientCA,
		DrainTimeout: time.Duration(c.Drain), DrainIdle: min(time.Second, time.Duration(c.Drain)), Grace: time.Duration(c.Grace),
		OnError: func(_ context.Context, remote net.Addr, err error) {
			args := []any{"error", firstLine(err)}
			if remote != nil {
				args = append([]any{"remote", remote.String()}, args...)
			}
			log.Warn("failed", args...)
		},
	}
	if s.CertFile != "" && s.KeyFile == "" {
		s.KeyFile = s.CertFile
	}
	if c.WhenFull == "refuse" {
		s.WhenFull = server.Refuse
	}
	s.Model = c.model()
	if c.Handler != "" {
		s.Handler, err = c.builtin(rest)
		s.Handler = c.logged(s.Handler, log)
		return s, err
	}
	p, err := serve.NewProgram(rest)
	if err != nil {
		return nil, err
	}
	p.Grace = time.Duration(c.Grace)
	p.Pump = c.TLSCert != "" || len(proxies) > 0 || c.Idle > 0 || c.Write > 0
	if s.MaxConns == 0 {
		s.MaxConns = maxPrograms
	}
	// A program reads for itself: the server cannot tell whether it waits.
	s.DrainIdle = 0
	s.Handler = c.logged(p, log)
	return s, nil
}

func (c *serveCmd) model() server.Model {
	switch c.Model {
	case "inline":
		return server.Inline{}
	case "thread":
		return server.Threads{}
	case "process":
		return server.Processes{Workers: c.Workers, PerConnection: c.PerConnection}
	default:
		return server.Coroutines{Hubs: c.Workers}
	}
}

func (c *serveCmd) builtin(rest []string) (server.Handler, error) {
	if c.Handler == "http-file" {
		dir := "."
		if len(rest) > 0 {
			dir = rest[0]
		}
		if info, err := os.Stat(dir); err != nil {
			return nil, err
		} else if !info.IsDir() {
			return nil, fmt.Errorf("%s is no folder", dir)
		}
		if err := errors.Join(os.Setenv(serve.FolderEnv, dir), os.Setenv(serve.HeadEnv, time.Duration(c.Read).String())); err != nil {
			return nil, err
		}
	}
	return serve.Builtin(c.Handler), nil
}

// logged logs the connections of a handler that runs in this process.
func (c *serveCmd) logged(h server.Handler, log *slog.Logger) server.Handler {
	if !c.Verbose || c.Model == "process" {
		return h
	}
	return server.HandlerFunc(func(ctx context.Context, conn *server.Conn) error {
		log.Debug("open", "remote", conn.String(), "id", conn.ID())
		err := h.ServeConn(ctx, conn)
		args := []any{"remote", conn.String(), "id", conn.ID(), "seconds", time.Since(conn.Since()).Seconds()}
		if err != nil {
			args = append(args, "error", firstLine(err))
		}
		log.Debug("close", args...)
		return err
	})
}

func firstLine(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}
