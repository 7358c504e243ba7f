package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	root "github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/cluster"
	"github.com/tristrand/tristrand/coro"
	"github.com/tristrand/tristrand/process"
	"github.com/tristrand/tristrand/thread"
)

// natsFlags say which cluster is meant.
type natsFlags struct {
	NATS         []string `name:"nats" sep:"," placeholder:"URL" help:"The servers of the cluster, as in nats://host:4222. May be repeated."`
	Namespace    string   `default:"default" placeholder:"NAME" help:"The namespace of the cluster; ${default}."`
	User         string   `placeholder:"NAME" help:"The user that the servers know."`
	PasswordFile string   `name:"password-file" placeholder:"FILE" help:"The file with the user's password; or, without --user, with a token."`
	Creds        string   `placeholder:"FILE" help:"The credentials (.creds) that the servers' operator has made out."`
}

// options returns what they come to.
func (f *natsFlags) options() (cluster.Options, error) {
	o := cluster.Options{URLs: f.NATS, Namespace: f.Namespace, Credentials: f.Creds, User: f.User}
	if f.PasswordFile == "" {
		if f.User != "" {
			return o, errors.New("--user needs --password-file")
		}
		return o, nil
	}
	text, err := os.ReadFile(f.PasswordFile)
	if err != nil {
		return o, fmt.Errorf("--password-file: %w", err)
	}
	secret := strings.TrimSpace(string(text))
	if secret == "" {
		return o, fmt.Errorf("--password-file: %s is empty", f.PasswordFile)
	}
	if f.User != "" {
		o.Password = secret
	} else {
		o.Token = secret
	}
	return o, nil
}

// open opens the cluster that is named, with the durability that it has.
func (f *natsFlags) open(ctx context.Context) (*cluster.Cluster, error) {
	o, err := f.options()
	if err != nil {
		return nil, err
	}
	if len(o.URLs) == 0 {
		return nil, errors.New(`no cluster: name its server with --nats, as "tristrand worker" prints it`)
	}
	o.Durability = cluster.Memory // whatever it has is enough
	return cluster.Open(ctx, o)
}

// workerCmd is "tristrand worker".
type workerCmd struct {
	natsFlags

	Dir        string   `placeholder:"DIR" help:"Be a server, too, that stores there."`
	Listen     string   `placeholder:"ADDR" help:"Where the server listens, host:port; port 0 is any. An address that other machines reach needs --password-file."`
	Peers      []string `sep:"," placeholder:"ADDR" help:"The route addresses of all three or five servers that make one cluster, this one's included."`
	Self       string   `placeholder:"ADDR" help:"This server's among --peers."`
	Durability string   `enum:"memory,process,power" default:"process" help:"What the server's store survives: memory, process or power; ${default}."`

	Engine string   `enum:"thread,coro,process" default:"process" help:"What runs the jobs: thread, coro or process; ${default}."`
	Jobs   int      `short:"j" placeholder:"N" help:"Jobs that run at once; 0, the default, is the number of processors."`
	Queue  []string `sep:"," placeholder:"NAME" help:"The queues whose jobs it takes; the default is default."`
	Grace  duration `default:"30s" placeholder:"D" help:"How long jobs may go on after SIGTERM or Ctrl-C; ${default}."`
}

// Help is shown by "tristrand worker --help".
func (workerCmd) Help() string {
	return `Takes jobs of a cluster and runs them, until Ctrl-C or SIGTERM: then it takes no more and waits for those that run. It prints "working on URL" once it does.

With --nats it works for servers that are there. With --dir or --listen it is a server as well, and others connect to what it prints. Workers run the built-in tasks, and the commands of "tristrand run --engine cluster": whoever can connect can run commands here.

Examples:

  tristrand worker --dir /var/lib/tristrand --listen 127.0.0.1:4222
  tristrand worker --nats nats://127.0.0.1:4222 -j 8
  tristrand worker --dir d --listen 10.0.0.1:4222 --user jobs --password-file key --self 10.0.0.1:6222 --peers 10.0.0.1:6222,10.0.0.2:6222,10.0.0.3:6222

Exit codes: 0 it was ended, 1 it failed, 2 wrong usage.`
}

// Validate is called by kong before Run, so that these are errors of usage.
func (c *workerCmd) Validate() error {
	server := c.Dir != "" || c.Listen != "" || len(c.Peers) > 0
	switch {
	case c.Jobs < 0 || c.Jobs > maxJobs:
		return fmt.Errorf("-j %d: it must be from 0 to %d", c.Jobs, maxJobs)
	case server && len(c.NATS) > 0:
		return errors.New("--nats names servers that are there, --dir, --listen and --peers make one: they exclude each other")
	case !server && len(c.NATS) == 0:
		return errors.New("it needs the server of a cluster: --nats, or --dir and --listen to be one")
	}
	return nil
}

// Run works.
func (c *workerCmd) Run(ctx context.Context, s streams) error {
	o, err := c.options()
	if err != nil {
		return err
	}
	o.Dir, o.Listen, o.Peers, o.Self = c.Dir, c.Listen, c.Peers, c.Self
	o.Durability = map[string]cluster.Durability{"memory": cluster.Memory, "process": cluster.Process, "power": cluster.Power}[c.Durability]
	if len(c.NATS) > 0 {
		o.Durability = cluster.Memory
	}
	cl, err := cluster.Open(ctx, o)
	if err != nil {
		return err
	}
	done := context.WithoutCancel(ctx)
	defer func() { _ = cl.Close(done) }()
	engine := c.engine()
	fmt.Fprintf(s.out, "working on %s\n", strings.TrimSpace(strings.Join(append(c.NATS, cl.URL())[:1], "")))
	w := &cluster.Worker{Queues: c.Queue, Grace: time.Duration(c.Grace)}
	err = w.Serve(ctx, cl, engine)
	return errors.Join(err, engine.Close(done))
}

func (c *workerCmd) engine() root.Executor {
	switch c.Engine {
	case "thread":
		return &thread.Pool{Name: "worker", Workers: c.Jobs}
	case "coro":
		return &coro.Pool{Name: "worker", Workers: c.Jobs}
	default:
		return &process.Pool{Name: "worker", Workers: c.Jobs}
	}
}
