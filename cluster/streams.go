package cluster

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// The streams of a namespace, TRI_NAMESPACE_ and one of these.
const (
	streamResults = "R"     // results, one for each job; its metadata describe the namespace
	streamTasks   = "T"     // and the number of the shard: jobs that wait or run
	streamLater   = "LATER" // jobs that are to run later
	streamDead    = "DEAD"  // dead letters
	streamSync    = "SYNC"  // tickets, owners, values
	streamSession = "SESS"  // sessions, which expire
	streamCount   = "CNT"   // counters
	streamBig     = "BIG"   // what is too large for a message
)

// What is kept, and how long.
const (
	resultAge    = time.Hour // a result that nobody has taken
	dedupeWindow = 2 * time.Minute
	deadAge      = 30 * 24 * time.Hour
	bigAge       = 24 * time.Hour
	shards       = 3 // of the jobs, when there are peers

	createPatience = 5 * time.Second // of a start, with all the streams of several servers
)

// The keys of a namespace's metadata.
const (
	metaDurability = "tristrand.durability"
	metaLease      = "tristrand.lease"
	metaShards     = "tristrand.shards"
)

func (c *Cluster) stream(kind string) string { return "TRI_" + c.opts.Namespace + "_" + kind }

// subject returns a subject of the namespace.
func (c *Cluster) subject(parts string) string { return c.prefix + parts }

// config returns how a stream is set up.
func (c *Cluster) config(kind string) jetstream.StreamConfig {
	cfg := jetstream.StreamConfig{
		Name: c.stream(kind), Storage: jetstream.FileStorage, Replicas: c.info.Replicas,
		Duplicates: dedupeWindow, AllowDirect: false, DenyDelete: false,
	}
	if c.info.Durability == Memory {
		cfg.Storage = jetstream.MemoryStorage
	}
	switch kind {
	case streamResults:
		cfg.Subjects = []string{c.subject("r.*.*"), c.subject("b.*.*")}
		cfg.MaxMsgsPerSubject, cfg.MaxAge = 1, resultAge
		cfg.MaxBytes = c.opts.MaxBytes
		cfg.RePublish = &jetstream.RePublish{
			Source:      c.subject("r.*.*"),
			Destination: c.subject("c.{{wildcard(1)}}.r.{{wildcard(2)}}"),
		}
		cfg.Metadata = c.metadata()
		cfg.Duplicates = 100 * time.Millisecond
	case streamLater:
		cfg.Subjects = []string{c.subject("l.>")}
		cfg.Retention = jetstream.WorkQueuePolicy
		cfg.AllowMsgSchedules, cfg.AllowMsgTTL, cfg.AllowRollup = true, true, true
	case streamDead:
		cfg.Subjects = []string{c.subject("x.>")}
		cfg.MaxMsgsPerSubject, cfg.MaxAge = 1, deadAge
	case streamSync:
		cfg.Subjects = []string{c.subject("s.>")}
		cfg.RePublish = &jetstream.RePublish{Source: c.subject("s.v.>"), Destination: c.subject("e.v.>")}
		cfg.MaxMsgsPerSubject = 1
	case streamSession:
		cfg.Subjects = []string{c.subject("n.*")}
		cfg.MaxMsgsPerSubject, cfg.AllowMsgTTL, cfg.AllowDirect = 1, true, false
		cfg.SubjectDeleteMarkerTTL = time.Second
		cfg.Duplicates = 100 * time.Millisecond
	case streamCount:
		cfg.Subjects = []string{c.subject("k.>")}
		cfg.MaxMsgsPerSubject, cfg.AllowMsgCounter = 1, true
		cfg.RePublish = &jetstream.RePublish{Source: c.subject("k.>"), Destination: c.subject("e.k.>")}
	case streamBig:
		cfg.Subjects = []string{c.subject("g.>")}
		cfg.MaxAge = bigAge
		cfg.Duplicates = 100 * time.Millisecond
	default: // tasks
		cfg.Subjects = []string{c.subject("t" + kind[len(streamTasks):] + ".>")}
		cfg.Retention, cfg.Discard, cfg.MaxBytes = jetstream.WorkQueuePolicy, jetstream.DiscardNew, c.opts.MaxBytes
	}
	return cfg
}

func (c *Cluster) metadata() map[string]string {
	return map[string]string{
		metaDurability: c.info.Durability.String(),
		metaLease:      c.opts.Lease.String(),
		metaShards:     strconv.Itoa(c.info.Shards),
	}
}

// taskStreams returns those of all shards.
func (c *Cluster) taskStreams() (kinds []string) {
	for i := range c.info.Shards {
		kinds = append(kinds, taskStream(i))
	}
	return kinds
}

func taskStream(shard int) string { return streamTasks + strconv.Itoa(shard) }

// ensure makes a stream unless it is there. It blocks.
func (c *Cluster) ensure(ctx context.Context, kinds ...string) error {
	for _, kind := range kinds {
		c.mu.Lock()
		there := c.there[kind]
		c.mu.Unlock()
		if there {
			continue
		}
		err := block(ctx, "the cluster's store", func(ctx context.Context) error {
			return c.create(ctx, kind, c.info.Replicas > 1)
		})
		if err != nil {
			return fmt.Errorf("cluster: the stream %s: %w", c.stream(kind), err)
		}
	}
	return nil
}

// createAll makes the streams of a namespace that are not there: those of several servers
// can be made only while all of the servers are there, and are used when some are not.
// Whatever it cannot make is made when it is needed.
func (c *Cluster) createAll(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, createPatience)
	defer cancel()
	for _, kind := range append(c.taskStreams(), streamSync, streamSession, streamDead, streamLater, streamBig, streamCount) {
		if c.create(ctx, kind, false) != nil {
			return
		}
	}
}

// create makes a stream, and tries again while the cluster has no leader and, if it is
// patient, too few servers.
func (c *Cluster) create(ctx context.Context, kind string, patient bool) error {
	ctx, cancel := context.WithTimeout(ctx, c.opts.StartTimeout)
	defer cancel()
	var last error
	for {
		once, cancel := context.WithTimeout(ctx, 5*time.Second)
		_, err := c.js.CreateStream(once, c.config(kind))
		cancel()
		if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
			once, cancel := context.WithTimeout(ctx, 5*time.Second)
			_, err = c.js.Stream(once, c.stream(kind))
			cancel()
		}
		if err == nil {
			c.mu.Lock()
			c.there[kind] = true
			c.mu.Unlock()
			return nil
		}
		making := errors.Is(err, jetstream.ErrStreamNotFound) // another is
		if !passing(err) && !making && (!patient || !refusedWith(err, codeNoPeers)) {
			return err
		}
		last = err
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", ctx.Err(), last)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// passing reports whether an error may be over soon.
func passing(err error) bool {
	if api, ok := errors.AsType[*jetstream.APIError](err); ok {
		return api.Code == 503 || api.ErrorCode == 10008 || api.ErrorCode == 10009
	}
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, nats.ErrTimeout) || errors.Is(err, nats.ErrNoResponders) ||
		errors.Is(err, jetstream.ErrNoStreamResponse)
}

// refusedWith is hasCode for what package jetstream returns.
func refusedWith(err error, codes ...jetstream.ErrorCode) bool {
	api, ok := errors.AsType[*jetstream.APIError](err)
	return ok && slices.Contains(codes, api.ErrorCode)
}

// spread asks for the leaders of streams to be on different servers. Which server fails is
// not known beforehand, so no two of them shall wait for one election.
func (c *Cluster) spread(ctx context.Context, kinds []string) error {
	var taken, servers []string
	for _, kind := range kinds {
		s, err := c.js.Stream(ctx, c.stream(kind))
		if err != nil {
			return err
		}
		g := s.CachedInfo().Cluster
		if g == nil || g.Leader == "" {
			return errNoLeader
		}
		if servers == nil {
			servers = append(servers, g.Leader)
			for _, r := range g.Replicas {
				if !r.Offline {
					servers = append(servers, r.Name)
				}
			}
			slices.Sort(servers)
		}
		if !slices.Contains(taken, g.Leader) {
			taken = append(taken, g.Leader)
			continue
		}
		for _, name := range servers {
			if !slices.Contains(taken, name) {
				req := []byte(`{"placement":{"preferred":"` + name + `"}}`)
				if _, err := c.link.nc.RequestWithContext(ctx, "$JS.API.STREAM.LEADER.STEPDOWN."+c.stream(kind), req); err != nil {
					return err
				}
				taken = append(taken, name)
				break
			}
		}
	}
	return nil
}

var errNoLeader = errors.New("cluster: a stream has no leader now")
