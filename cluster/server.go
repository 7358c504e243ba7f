package cluster

import (
	"context"
	"crypto/tls"
	"errors"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
)

// A ServerConfig is what Open wants of a server in this process.
type ServerConfig struct {
	Name, Dir   string
	Listen      string // "host:port", "" is not at all
	Cluster     string // its name, "" if it has no peers
	Self        string // its route address
	Peers       []string
	User        string
	Password    string
	Token       string
	TLS         *tls.Config
	SyncAlways  bool // every write is on the disk before it is acknowledged
	MemoryBytes int64
	StoreBytes  int64 // 0 is what the disk has
	Timeout     time.Duration
}

// A Server is one that runs in this process.
type Server interface {
	nats.InProcessConnProvider
	// URL is its address, "" if it does not listen.
	URL() string
	// Close shuts it down and waits for that.
	Close()
	// Complaints returns the last errors that it has logged.
	Complaints() []string
}

var starter atomic.Pointer[func(context.Context, ServerConfig) (Server, error)]

// Provide makes start what Open starts a server of this process with. Package
// cluster/embed calls it in a package variable; whoever imports that has a server.
func Provide(start func(context.Context, ServerConfig) (Server, error)) bool {
	starter.Store(&start)
	return true
}

var errNoServer = errors.New(`cluster: there is no server in this program: import _ "github.com/tristrand/tristrand/cluster/embed" to have one, or name servers that are there with Options.URLs or Connect`)

func startServer(ctx context.Context, cfg ServerConfig) (Server, error) {
	start := starter.Load()
	if start == nil {
		return nil, errNoServer
	}
	return (*start)(ctx, cfg)
}
