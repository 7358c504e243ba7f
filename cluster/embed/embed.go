// Package embed puts a NATS server into the program, for package cluster to start:
//
//	import _ "github.com/tristrand/tristrand/cluster/embed"
//
// It is a package of its own because it makes a program larger by about 15 MB: a worker
// or a client that connects to a server elsewhere does without.
package embed

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/tristrand/tristrand/cluster"
)

var _ = cluster.Provide(start)

// An instance is one server, and after a fault of its disk the next.
type instance struct {
	dir    string
	opts   *server.Options
	log    *journal
	listen bool
	stop   chan struct{}
	ended  chan struct{}

	mu sync.Mutex // guards s
	s  *server.Server
}

// step is how long a server is waited for before its log is looked at.
const step = 20 * time.Millisecond

func start(ctx context.Context, cfg cluster.ServerConfig) (cluster.Server, error) {
	opts, err := options(cfg)
	if err != nil {
		return nil, err
	}
	x := &instance{
		dir: cfg.Dir, opts: opts, log: &journal{ill: make(chan struct{}, 1)}, listen: cfg.Listen != "",
		stop: make(chan struct{}), ended: make(chan struct{}),
	}
	sweepProbes(cfg.Dir)
	if err := x.run(ctx, cfg.Timeout); err != nil {
		return nil, err
	}
	if a, ok := x.s.Addr().(*net.TCPAddr); ok && x.listen {
		opts.Port = a.Port // the next one has the same
	}
	go x.nurse()
	return x, nil
}

// run starts a server and waits until it is ready.
func (x *instance) run(ctx context.Context, timeout time.Duration) error {
	opts := x.opts.Clone()
	log := x.log
	s, err := server.NewServer(opts)
	if err != nil {
		return fmt.Errorf("cluster: the server cannot be made: %w", err)
	}
	s.SetLoggerV2(log, false, false, false)
	go s.Start()
	end := func() {
		s.Shutdown()
		s.WaitForShutdown()
	}
	// It says nothing but by its log when a port is taken or the directory is bad.
	for until := time.Now().Add(timeout); !s.ReadyForConnections(step); {
		err := ctx.Err()
		if fatal := log.fatal(); fatal != "" {
			err = errors.New(fatal)
		} else if time.Now().After(until) {
			err = fmt.Errorf("it was not ready within %v", timeout)
		}
		if err != nil {
			end()
			return fmt.Errorf("cluster: the server did not start: %w%s", err, said(log.last()))
		}
	}
	if fatal := log.fatal(); fatal != "" || !s.JetStreamEnabled() {
		end()
		return fmt.Errorf("cluster: the server started without its store in %s%s", x.dir, said(log.last()))
	}
	x.mu.Lock()
	x.s = s
	x.mu.Unlock()
	return nil
}

func said(lines []string) string {
	if len(lines) == 0 {
		return ""
	}
	return "; it said: " + strings.Join(lines, "; ")
}

func options(cfg cluster.ServerConfig) (*server.Options, error) {
	o := &server.Options{
		ServerName: cfg.Name, JetStream: true, StoreDir: cfg.Dir, SyncAlways: cfg.SyncAlways,
		NoSigs: true, NoLog: true, NoSystemAccount: false,
		JetStreamMaxMemory: cfg.MemoryBytes, JetStreamMaxStore: cfg.StoreBytes,
		Username: cfg.User, Password: cfg.Password, Authorization: cfg.Token,
		DontListen: cfg.Listen == "", WriteDeadline: 10 * time.Second, PingInterval: 10 * time.Second,
		DisableShortFirstPing: true,
	}
	if cfg.TLS != nil && cfg.Listen != "" {
		o.TLS, o.TLSConfig, o.TLSTimeout = true, cfg.TLS, 5
	}
	if cfg.Listen != "" {
		host, port, err := split(cfg.Listen)
		if err != nil {
			return nil, err
		}
		o.Host, o.Port = host, port
	}
	if cfg.Self == "" {
		return o, nil
	}
	host, port, err := split(cfg.Self)
	if err != nil {
		return nil, err
	}
	o.Cluster = server.ClusterOpts{Name: cfg.Cluster, Host: host, Port: port, Username: cfg.User, Password: cfg.Password}
	if cfg.TLS != nil {
		o.Cluster.TLSConfig, o.Cluster.TLSTimeout = cfg.TLS.Clone(), 5
	}
	if cfg.Token != "" { // routes know no tokens
		o.Cluster.Username, o.Cluster.Password = "tristrand", cfg.Token
	}
	for _, p := range cfg.Peers {
		u := &url.URL{Scheme: "nats-route", Host: p}
		if o.Cluster.Username != "" {
			u.User = url.UserPassword(o.Cluster.Username, o.Cluster.Password)
		}
		o.Routes = append(o.Routes, u)
	}
	return o, nil
}

// split returns host and port; NATS says -1 for a free one.
func split(addr string) (string, int, error) {
	host, text, err := net.SplitHostPort(addr)
	if err != nil {
		return "", 0, fmt.Errorf("cluster: the address %q: %w", addr, err)
	}
	port, err := strconv.Atoi(text)
	if err != nil || port < 0 || port > 65535 {
		return "", 0, fmt.Errorf("cluster: the address %q: the port must be a number from 0 to 65535", addr)
	}
	if port == 0 {
		port = server.RANDOM_PORT
	}
	return host, port, nil
}

func (x *instance) current() *server.Server {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.s
}

// InProcessConn connects to the server that there is now.
func (x *instance) InProcessConn() (net.Conn, error) { return x.current().InProcessConn() }

// URL returns the address that it listens on.
func (x *instance) URL() string {
	if !x.listen {
		return ""
	}
	return x.current().ClientURL()
}

// Complaints returns the last warnings and errors.
func (x *instance) Complaints() []string { return x.log.last() }

// Close shuts the server down.
func (x *instance) Close() {
	close(x.stop)
	<-x.ended
	s := x.current()
	s.Shutdown()
	s.WaitForShutdown()
}
