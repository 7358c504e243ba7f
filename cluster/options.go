package cluster

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"time"
)

// Durability says what an acknowledged job, value or ticket survives.
type Durability int

// The durabilities, each with what it costs.
const (
	// Process survives the end of every process, kill -9 included, but not the loss of
	// the operating system or of power: the disk has it within two minutes.
	Process Durability = iota
	// Memory survives nothing: it is gone with the server. It saves no time worth
	// mentioning for single jobs, but the disk.
	Memory
	// Power survives the loss of power, too: of the machine, or with peers of less than
	// half of them, because every write is on the disk before it is acknowledged. On one
	// server that is some thousand writes a second.
	Power
)

var durabilities = [...]string{"process", "memory", "power"}

func (d Durability) String() string {
	if d < 0 || int(d) >= len(durabilities) {
		return fmt.Sprintf("durability %d", int(d))
	}
	return durabilities[d]
}

// strength orders durabilities: Process is the zero value and not the least.
func (d Durability) strength() int { return [...]int{1, 0, 2}[d] }

// parseDurability is the opposite of String.
func parseDurability(s string) (Durability, bool) {
	i := slices.Index(durabilities[:], s)
	return Durability(max(i, 0)), i >= 0
}

// Options say which cluster Open opens. The zero value is one of this process alone: a
// server in the process, which needs package cluster/embed, listens to nobody, and keeps
// what it stores in the user's state directory.
type Options struct {
	// URLs are the addresses of NATS servers with JetStream that are there already,
	// such as "nats://host:4222". Without them a server is started in this process.
	URLs []string

	// Listen is the address that the server of this process listens on, "host:port",
	// for other processes to Connect to; port 0 takes a free one, see Cluster.URL. "" is
	// not at all. An address that other machines reach needs User and Password, or Token.
	Listen string

	// Peers are the route addresses, "host:port", of all three or five servers that make
	// one cluster, in any order and the same for each; Self is that of this one. Open
	// returns when more than half of them are there, and the first time, when their
	// stores are new, when all of them are.
	Peers []string
	Self  string

	// Name is the server's among its peers; "" is made of Self.
	Name string

	// Dir is where the server of this process stores what it keeps. It has one user at a
	// time. "" is tristrand/cluster/NAMESPACE in the user's state directory; with
	// Durability Memory it is a temporary one, that Close removes.
	Dir string

	// Namespace keeps apart what programs have on one server: letters, digits, - and _.
	// "" is "default".
	Namespace string

	// Durability is what is asked for. Open refuses when the servers do not give it; see
	// Info for what they give.
	Durability Durability

	// User and Password, or Token, are asked for by the server of this process, and shown
	// to that of URLs. Credentials names a file that the latter's operator has made out
	// (.creds).
	User, Password, Token, Credentials string

	// TLS is the configuration of the connection to URLs; or of the server of this process
	// and of its connections to its peers: it needs a certificate in it, with peers for
	// the host of Self, and what certificates of peers are signed with in RootCAs.
	TLS *tls.Config

	// Monitor are addresses of the monitoring of the servers of URLs, such as
	// "http://host:8222". They prove Power, when the credentials are not those of the
	// system account, which prove it, too.
	Monitor []string

	// Lease is how long after the death of a worker, or of the holder of a lock, what it
	// had is given to others, and how long one may be stopped or cut off without losing
	// it; 0 is 10 s, at least it is 1 s. All processes of a namespace have that of the
	// one that came first.
	Lease time.Duration

	// MaxBytes bounds each store of jobs: 0 is 1 GiB, or 256 MiB with Memory. Submit
	// waits while it is full.
	MaxBytes int64

	// StartTimeout is how long Open waits for a server, and for its peers; 0 is 30 s.
	StartTimeout time.Duration
}

const (
	defaultLease  = 10 * time.Second
	minLease      = time.Second
	defaultStart  = 30 * time.Second
	defaultBytes  = 1 << 30
	memoryBytes   = 256 << 20
	defaultSpace  = "default"
	maxNameLength = 64
)

var plainName = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)

// checkName says what is wrong with the name of a namespace or a queue.
func checkName(what, name string) error {
	if len(name) > maxNameLength || !plainName.MatchString(name) {
		return fmt.Errorf("cluster: the %s %q: it must be of 1 to %d letters, digits, - and _", what, name, maxNameLength)
	}
	return nil
}

// complete checks the options and fills in the defaults.
func (o *Options) complete() error {
	if o.Namespace == "" {
		o.Namespace = defaultSpace
	}
	if err := checkName("namespace", o.Namespace); err != nil {
		return err
	}
	if o.Durability < Process || o.Durability > Power {
		return fmt.Errorf("cluster: Options.Durability is %d: it must be Process, Memory or Power", int(o.Durability))
	}
	switch {
	case o.Lease == 0:
		o.Lease = defaultLease
	case o.Lease < minLease:
		return fmt.Errorf("cluster: Options.Lease is %v: it must be at least %v", o.Lease, minLease)
	}
	if o.StartTimeout <= 0 {
		o.StartTimeout = defaultStart
	}
	if o.MaxBytes == 0 {
		o.MaxBytes = defaultBytes
		if o.Durability == Memory {
			o.MaxBytes = memoryBytes
		}
	}
	if o.MaxBytes < 0 {
		return fmt.Errorf("cluster: Options.MaxBytes is %d: it must not be below 0", o.MaxBytes)
	}
	if len(o.URLs) > 0 {
		return o.checkRemote()
	}
	return o.checkEmbedded()
}

func (o *Options) checkRemote() error {
	for name, set := range map[string]bool{"Listen": o.Listen != "", "Peers": o.Peers != nil, "Self": o.Self != "", "Dir": o.Dir != ""} {
		if set {
			return fmt.Errorf("cluster: Options.%s is for the server of this process, but Options.URLs name others: set one of the two", name)
		}
	}
	return nil
}

func (o *Options) checkEmbedded() error {
	if o.Credentials != "" {
		return errors.New("cluster: Options.Credentials is for the servers of Options.URLs; one of this process takes User and Password, or Token")
	}
	if (o.User == "") != (o.Password == "") {
		return errors.New("cluster: of Options.User and Password only one is set: set both, or Token")
	}
	if n := len(o.Peers); n > 0 {
		switch {
		case n != 3 && n != 5:
			return fmt.Errorf("cluster: Options.Peers names %d servers: there must be 3 or 5, this one included", n)
		case !slices.Contains(o.Peers, o.Self):
			return fmt.Errorf("cluster: Options.Self is %q, which is none of Options.Peers %q: it must be this server's address among them", o.Self, o.Peers)
		}
	} else if o.Self != "" {
		return errors.New("cluster: Options.Self is set without Options.Peers, which must name all servers")
	}
	for _, addr := range []string{o.Listen, o.Self} {
		if addr == "" {
			continue
		}
		host, _, err := net.SplitHostPort(addr)
		if err != nil {
			return fmt.Errorf("cluster: the address %q: %w: it must be host:port", addr, err)
		}
		if !loopback(host) && o.User == "" && o.Token == "" {
			return fmt.Errorf("cluster: the address %q can be reached from other machines, and whoever reaches it can run jobs: set Options.User and Password, or Token", addr)
		}
	}
	if o.Dir == "" && o.Durability != Memory {
		base, err := stateDir()
		if err != nil {
			return fmt.Errorf("cluster: no directory to store in: %w: set Options.Dir", err)
		}
		o.Dir = filepath.Join(base, "tristrand", "cluster", o.Namespace)
	}
	return nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// stateDir is where programs keep what shall last, by the XDG base directories.
func stateDir() (string, error) {
	if dir := os.Getenv("XDG_STATE_HOME"); dir != "" {
		return dir, nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", err
	}
	return filepath.Join(home, ".local", "state"), nil
}
