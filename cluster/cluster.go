package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"weak"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/tristrand/tristrand"
)

// A Cluster is a connection to the servers of a namespace, and the server of this process
// if it has one. Its methods may be called from anywhere.
type Cluster struct {
	opts   Options
	prefix string // of all subjects
	id     string // of this connection: its inbox
	store  *storeLock
	server Server
	scrap  string // a directory to remove
	link   *link
	js     jetstream.JetStream

	mu        sync.Mutex // guards the rest
	info      Info       // written by Open alone
	there     map[string]bool
	closing   bool
	spreading bool
	closed    chan struct{}
	closers   []func(context.Context) // last in, first out
	onBack    map[int]func()          // called after a reconnection
	backs     int
	clock     clock
	sess      *session
	pools     map[*Pool]struct{}
	permits   map[string]map[string]int // of semaphores that this process has, by session
	locks     map[string]weak.Pointer[object[lockState]]
}

// Info says what a cluster is.
type Info struct {
	Namespace string
	// Durability is what is in force: what the store of jobs, results and locks gives.
	Durability Durability
	// Basis says how that is known.
	Basis    string
	Replicas int // of each stream
	Shards   int // of the jobs
	Servers  []string
	Embedded bool // the server, or one of the peers, is in this process
	Lease    time.Duration
	Version  string // of the server that this process is connected to
}

// Connect opens a cluster by the address of one of its servers, "nats://host:4222", with
// the durability that it has.
func Connect(ctx context.Context, url string) (*Cluster, error) {
	return open(ctx, Options{URLs: []string{url}}, true)
}

// Open opens a cluster. It waits, under ctx, until it can be used. Whoever opens it closes
// it.
func Open(ctx context.Context, o Options) (*Cluster, error) { return open(ctx, o, false) }

func open(ctx context.Context, o Options, anyDurability bool) (*Cluster, error) {
	if err := o.complete(); err != nil {
		return nil, err
	}
	c := &Cluster{
		opts: o, prefix: "tri." + o.Namespace + ".", id: newID(),
		there: make(map[string]bool), closed: make(chan struct{}), onBack: make(map[int]func()),
	}
	var settled atomic.Bool // by the start's end, or by its being given up
	err := block(ctx, "the start of the cluster", func(ctx context.Context) error {
		err := c.start(ctx, anyDurability)
		if settled.Swap(true) && err == nil {
			c.shut()
		}
		return err
	})
	if err != nil {
		settled.Store(true)
		return nil, err
	}
	return c, nil
}

func (c *Cluster) start(ctx context.Context, anyDurability bool) error {
	if len(c.opts.URLs) == 0 {
		if err := c.serve(ctx); err != nil {
			c.unserve()
			return err
		}
	}
	if err := c.connect(); err != nil {
		c.unserve()
		return err
	}
	if err := c.settle(ctx, anyDurability); err != nil {
		c.link.close()
		c.link.nc.Close()
		c.unserve()
		return err
	}
	return nil
}

// serve starts the server of this process.
func (c *Cluster) serve(ctx context.Context) error {
	o := &c.opts
	if o.Dir == "" {
		dir, err := os.MkdirTemp("", "tristrand-cluster-")
		if err != nil {
			return fmt.Errorf("cluster: no temporary directory: %w: set Options.Dir", err)
		}
		o.Dir, c.scrap = dir, dir
	}
	var err error
	if c.store, err = lockStore(o.Dir); err != nil {
		return err
	}
	name := o.Name
	if name == "" && o.Self != "" {
		name = strings.NewReplacer(":", "-", ".", "-", "[", "", "]", "").Replace(o.Self)
	} else if name == "" {
		name = "tristrand-" + c.id
	}
	cfg := ServerConfig{
		Name: name, Dir: o.Dir, Listen: o.Listen, Self: o.Self, Peers: o.Peers, User: o.User, Password: o.Password, Token: o.Token,
		TLS: o.TLS, SyncAlways: o.Durability == Power, Timeout: o.StartTimeout, MemoryBytes: 1 << 40, StoreBytes: 1 << 50,
	}
	if o.Self != "" {
		cfg.Cluster = "tristrand"
	}
	c.server, err = startServer(ctx, cfg)
	return err
}

// unserve undoes serve.
func (c *Cluster) unserve() {
	if c.server != nil {
		c.server.Close()
	}
	c.store.release()
	if c.scrap != "" {
		_ = os.RemoveAll(c.scrap)
	}
}

// The client's settings: a server that is silent is given up after two pings.
const (
	pingInterval  = 2 * time.Second
	reconnectWait = 30 * time.Millisecond
)

func (c *Cluster) connect() error {
	o := &c.opts
	l := newLink()
	opts := []nats.Option{
		nats.Name("tristrand " + c.id), nats.PingInterval(pingInterval), nats.MaxPingsOutstanding(2), nats.MaxReconnects(-1),
		nats.ReconnectWait(reconnectWait), nats.ReconnectJitter(reconnectWait, reconnectWait), nats.ReconnectBufSize(64 << 20),
		nats.IgnoreAuthErrorAbort(), nats.Timeout(5 * time.Second), nats.DrainTimeout(5 * time.Second),
		nats.DisconnectErrHandler(func(*nats.Conn, error) { l.broken() }),
		nats.ReconnectHandler(func(*nats.Conn) { l.mended(); c.reconnected() }),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			if errors.Is(err, nats.ErrSlowConsumer) {
				c.reconnected() // what was dropped is read again
			}
		}),
	}
	if o.User != "" {
		opts = append(opts, nats.UserInfo(o.User, o.Password))
	}
	if o.Token != "" {
		opts = append(opts, nats.Token(o.Token))
	}
	if o.Credentials != "" {
		opts = append(opts, nats.UserCredentials(o.Credentials))
	}
	url := strings.Join(o.URLs, ",")
	if c.server != nil {
		url = ""
		opts = append(opts, nats.InProcessServer(c.server))
	} else if o.TLS != nil {
		opts = append(opts, nats.Secure(o.TLS))
	}
	nc, err := nats.Connect(url, opts...)
	if err != nil {
		return fmt.Errorf("cluster: no connection to %s: %w%s", c.where(), err, hintConnect(err))
	}
	if err := l.begin(nc); err != nil {
		nc.Close()
		return fmt.Errorf("cluster: %w", err)
	}
	c.link = l
	c.js, err = jetstream.New(nc)
	return err
}

func (c *Cluster) where() string {
	if c.server != nil {
		return "the server of this process"
	}
	return strings.Join(c.opts.URLs, ", ")
}

func hintConnect(err error) string {
	switch {
	case errors.Is(err, nats.ErrAuthorization), errors.Is(err, nats.ErrAuthExpired):
		return ": set Options.User and Password, Token, or Credentials to what its operator gave you"
	case errors.Is(err, nats.ErrSecureConnRequired):
		return ": set Options.TLS"
	case errors.Is(err, nats.ErrNoServers):
		return ": is one running there?"
	default:
		return ""
	}
}

// settle finds out what the servers give, and sets the namespace up.
func (c *Cluster) settle(ctx context.Context, anyDurability bool) error {
	if err := c.awaitStore(ctx); err != nil {
		return err
	}
	c.info = Info{Namespace: c.opts.Namespace, Embedded: c.server != nil, Version: c.link.nc.ConnectedServerVersion()}
	if err := c.describe(ctx, anyDurability); err != nil {
		return err
	}
	c.there[streamResults] = true
	c.info.Lease = c.opts.Lease
	c.info.Servers = c.link.nc.Servers()
	c.clock.start(ctx, c)
	return nil
}

// awaitStore waits until the store answers: with peers, until they have a leader.
func (c *Cluster) awaitStore(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, c.opts.StartTimeout)
	defer cancel()
	for {
		once, cancel := context.WithTimeout(ctx, time.Second)
		_, err := c.js.AccountInfo(once)
		cancel()
		switch {
		case err == nil:
			return nil
		case errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount), errors.Is(err, jetstream.ErrJetStreamNotEnabled) && len(c.opts.Peers) == 0 && c.server != nil:
			return fmt.Errorf("cluster: %s has no JetStream for this account: %w: start it with -js, or ask its operator", c.where(), err)
		}
		select {
		case <-ctx.Done():
			why := "its store does not answer"
			if len(c.opts.Peers) > 0 {
				why = fmt.Sprintf("no more than half of the peers %s are there, or, with new stores, not all of them", strings.Join(c.opts.Peers, ", "))
			}
			err := fmt.Errorf("cluster: %s: %s: %w", c.where(), why, err)
			if c.server != nil {
				if said := c.server.Complaints(); len(said) > 0 {
					err = fmt.Errorf("%w; the server said: %s", err, strings.Join(said, "; "))
				}
			}
			return err
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// URL returns the address of the server of this process for others to connect to, or the
// one that this process is connected to.
func (c *Cluster) URL() string {
	if c.server != nil {
		return c.server.URL()
	}
	return c.link.nc.ConnectedUrlRedacted()
}

// Info returns what the cluster is.
func (c *Cluster) Info() Info {
	c.mu.Lock()
	defer c.mu.Unlock()
	i := c.info
	i.Servers = append([]string(nil), c.info.Servers...)
	return i
}

// Done returns a channel that is closed when the cluster has been closed.
func (c *Cluster) Done() <-chan struct{} { return c.closed }

// afterReconnect has fn called, on a goroutine of its own, when messages may have been
// missed.
func (c *Cluster) afterReconnect(fn func()) (remove func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.backs++
	n := c.backs
	c.onBack[n] = fn
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.onBack, n)
	}
}

func (c *Cluster) reconnected() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, fn := range c.onBack {
		go fn()
	}
}

// Close gives back the locks that this process holds, ends the connection and, if there is
// one, the server of this process. Stored jobs stay, as far as the durability goes;
// futures that wait for their results fail with tristrand.ErrClosed. It waits for what it
// ends, at most until ctx ends: what is left ends all the same.
func (c *Cluster) Close(ctx context.Context) error {
	c.mu.Lock()
	again := c.closing
	c.closing = true
	c.mu.Unlock()
	if again {
		return await(ctx, "the end of the cluster", func(done func()) {
			go func() { <-c.closed; done() }()
		})
	}
	defer close(c.closed)
	c.mu.Lock()
	closers := c.closers
	c.closers = nil
	c.mu.Unlock()
	for _, fn := range slices.Backward(closers) {
		fn(ctx)
	}
	c.shut()
	return nil
}

// shut ends the connection and the server.
func (c *Cluster) shut() {
	c.clock.end()
	if c.link != nil {
		_ = c.link.nc.FlushTimeout(time.Second) // what was sent last
		c.link.close()
		c.link.nc.Close()
	}
	c.unserve()
}

func (c *Cluster) isClosing() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closing
}

// describe reads the description of the namespace, or writes it.
func (c *Cluster) describe(ctx context.Context, anyDurability bool) error {
	ctx, cancel := context.WithTimeout(ctx, c.opts.StartTimeout)
	defer cancel()
	for {
		once, cancel := context.WithTimeout(ctx, readWait) // one that was lost has no answer
		s, err := c.js.Stream(once, c.stream(streamResults))
		cancel()
		if err == nil {
			return c.adopt(ctx, s.CachedInfo().Config, anyDurability)
		}
		if !errors.Is(err, jetstream.ErrStreamNotFound) {
			if passing(err) && ctx.Err() == nil {
				time.Sleep(20 * time.Millisecond)
				continue
			}
			return fmt.Errorf("cluster: the namespace %q: %w", c.opts.Namespace, err)
		}
		if err := c.found(ctx); err != nil {
			return err
		}
	}
}

// found makes the namespace.
func (c *Cluster) found(ctx context.Context) error {
	c.info.Durability, c.info.Replicas, c.info.Shards = c.opts.Durability, 1, 1
	if c.opts.Durability == Power && c.server == nil {
		if err := c.provePower(ctx); err != nil {
			return err
		}
	}
	if len(c.opts.Peers) > 0 || c.server == nil && c.link.nc.ConnectedClusterName() != "" {
		c.info.Replicas, c.info.Shards = 3, shards
	}
	err := c.create(ctx, streamResults, len(c.opts.Peers) > 0)
	if refusedWith(err, codeNoPeers, 10074, codeNoRoom) && len(c.opts.Peers) == 0 {
		c.info.Replicas, c.info.Shards = 1, 1 // a cluster of less than three, or with room on one alone
		err = c.create(ctx, streamResults, false)
	}
	if err != nil {
		return fmt.Errorf("cluster: the namespace %q cannot be made: %w", c.opts.Namespace, err)
	}
	if c.info.Replicas > 1 {
		c.createAll(ctx)
	}
	return nil
}

// adopt takes the namespace as it is, if that is enough.
func (c *Cluster) adopt(ctx context.Context, cfg jetstream.StreamConfig, anyDurability bool) error {
	i := &c.info
	i.Replicas, i.Shards = max(cfg.Replicas, 1), 1
	if n, err := strconv.Atoi(cfg.Metadata[metaShards]); err == nil && n > 0 && n < 100 {
		i.Shards = n
	}
	if d, err := time.ParseDuration(cfg.Metadata[metaLease]); err == nil && d >= minLease {
		c.opts.Lease = d
	}
	said, ok := parseDurability(cfg.Metadata[metaDurability])
	switch {
	case cfg.Storage == jetstream.MemoryStorage:
		i.Durability, i.Basis = Memory, "its streams are in memory"
	case c.server != nil && len(c.opts.Peers) == 0:
		i.Durability, i.Basis = Process, "its streams are files, of the server of this process"
		if c.opts.Durability == Power {
			i.Durability, i.Basis = Power, "the server of this process writes to the disk before it acknowledges"
		}
		if said != i.Durability {
			cfg.Metadata = c.metadata()
			if _, err := c.js.UpdateStream(ctx, cfg); err != nil {
				return fmt.Errorf("cluster: the namespace %q cannot be described: %w", c.opts.Namespace, err)
			}
		}
	case c.server != nil:
		i.Durability, i.Basis = said, "all peers were started with it"
		if said != c.opts.Durability && (said == Power || c.opts.Durability == Power) {
			return fmt.Errorf("cluster: the peers run with durability %v, this one asks for %v: give all of them the same, and remove Options.Dir of all to change it", said, c.opts.Durability)
		}
	case ok && said == Power:
		i.Durability, i.Basis = Power, "whoever started its server says so"
	default:
		i.Durability, i.Basis = Process, "its streams are files; that they are on the disk when they are acknowledged is not known"
	}
	if !anyDurability && i.Durability.strength() < c.opts.Durability.strength() {
		if c.opts.Durability == Power && i.Durability == Process && c.server == nil {
			if err := c.provePower(ctx); err != nil {
				return err
			}
			i.Durability, i.Basis = Power, "the servers say that they write to the disk before they acknowledge"
			return nil
		}
		return fmt.Errorf("cluster: durability %v was asked for, and the namespace %q of %s has %v (%s): ask for that, or use another namespace",
			c.opts.Durability, c.opts.Namespace, c.where(), i.Durability, i.Basis)
	}
	return nil
}

// errClosed says that the cluster is closed.
var errClosed = fmt.Errorf("cluster: it has been closed: %w", tristrand.ErrClosed)
