package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Priorities are told apart by levels, as each has a consumer of its own in the store.
const (
	lowest  = -2
	highest = 2
)

// levelOf returns the level of a priority: 0 is 0, 1 to 9 are above it and 10 and more are
// above those, and the same below.
func levelOf(priority int) int {
	switch {
	case priority >= 10:
		return highest
	case priority > 0:
		return 1
	case priority == 0:
		return 0
	case priority > -10:
		return -1
	default:
		return lowest
	}
}

// maxWaitingPulls bounds how many workers may wait at a consumer.
const maxWaitingPulls = 1 << 14

func consumerName(queue string, level int) string { return "q-" + queue + "-" + strconv.Itoa(level) }

// consumer returns how the jobs of a queue and level in a stream are handed out.
func (c *Cluster) consumer(kind, queue string, level int) jetstream.ConsumerConfig {
	filter := c.subject("l.d." + queue + "." + strconv.Itoa(level))
	if kind != streamLater {
		filter = c.taskSubject(kind, queue, level)
	}
	cfg := jetstream.ConsumerConfig{
		Durable: consumerName(queue, level), FilterSubject: filter, AckPolicy: jetstream.AckExplicitPolicy,
		AckWait: c.opts.Lease, MaxDeliver: -1, MaxAckPending: -1, MaxWaiting: maxWaitingPulls,
	}
	if c.info.Durability == Memory {
		cfg.MemoryStorage = true
	}
	return cfg
}

// ensureConsumer makes a consumer unless it is there.
func (c *Cluster) ensureConsumer(ctx context.Context, kind, queue string, level int) error {
	key := kind + "/" + queue + "/" + strconv.Itoa(level)
	c.mu.Lock()
	there := c.there[key]
	c.mu.Unlock()
	if there {
		return nil
	}
	err := block(ctx, "the cluster's store", func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, c.opts.StartTimeout)
		defer cancel()
		for {
			once, cancel := context.WithTimeout(ctx, 5*time.Second) // one that was lost has no answer
			_, err := c.js.CreateOrUpdateConsumer(once, c.stream(kind), c.consumer(kind, queue, level))
			cancel()
			if err == nil || !passing(err) || ctx.Err() != nil {
				return err
			}
			time.Sleep(50 * time.Millisecond)
		}
	})
	if err != nil {
		return fmt.Errorf("cluster: the queue %q: %w", queue, err)
	}
	c.mu.Lock()
	c.there[key] = true
	c.mu.Unlock()
	return nil
}

// ensureLevel makes a level of a queue that workers find, in streams of these kinds, and
// tells them.
func (c *Cluster) ensureLevel(ctx context.Context, queue string, level int, kinds ...string) error {
	key := "level/" + kinds[0] + "/" + queue + "/" + strconv.Itoa(level)
	c.mu.Lock()
	there := c.there[key]
	c.mu.Unlock()
	if there {
		return nil
	}
	for _, kind := range kinds {
		if err := c.ensureConsumer(ctx, kind, queue, level); err != nil {
			return err
		}
	}
	c.tellLevels(ctx, queue)
	c.mu.Lock()
	c.there[key] = true
	c.mu.Unlock()
	return nil
}

// tellLevels has the workers of a queue look for sources that are new, and waits for one
// that has: until then jobs of a new level are not begun before others.
func (c *Cluster) tellLevels(ctx context.Context, queue string) {
	_, _ = c.link.call(ctx, "the workers", c.subject("levels."+queue), nil, nil, time.Second)
}

// sourcesOf returns the consumers that a queue has: kind and level of each.
func (c *Cluster) sourcesOf(ctx context.Context, queue string) (found []sourceKey, err error) {
	kinds := append(c.taskStreams(), streamLater)
	err = block(ctx, "the cluster's store", func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, c.opts.StartTimeout)
		defer cancel()
		for _, kind := range kinds {
			names, err := c.consumersOf(ctx, kind)
			if err != nil {
				return err
			}
			for _, name := range names {
				rest, ok := strings.CutPrefix(name, "q-"+queue+"-")
				if level, err := strconv.Atoi(rest); ok && err == nil && level >= lowest && level <= highest {
					found = append(found, sourceKey{kind, queue, level})
				}
			}
		}
		return nil
	})
	return found, err
}

// consumersOf returns the names of a stream's consumers, none if it is not there.
func (c *Cluster) consumersOf(ctx context.Context, kind string) ([]string, error) {
	for {
		once, cancel := context.WithTimeout(ctx, 2*time.Second)
		names, err := c.consumerNames(once, kind)
		cancel()
		switch {
		case errors.Is(err, jetstream.ErrStreamNotFound):
			return nil, nil
		case err == nil, !passing(err), ctx.Err() != nil: // without a leader it is not known
			return names, err
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func (c *Cluster) consumerNames(ctx context.Context, kind string) (names []string, err error) {
	s, err := c.js.Stream(ctx, c.stream(kind))
	if err != nil {
		return nil, err
	}
	all := s.ConsumerNames(ctx)
	for name := range all.Name() {
		names = append(names, name)
	}
	return names, all.Err()
}

type sourceKey struct {
	kind, queue string
	level       int
}

// A source is a consumer that a worker pulls jobs from. Its fields are guarded by the
// service's mu.
type source struct {
	sourceKey
	v       *service
	stream  string
	subject string             // of its pulls
	sub     *nats.Subscription // of pulls that wait
	quick   *nats.Subscription // of pulls that do not

	out   int // jobs that were asked for by pulls that wait
	sweep int // jobs that were asked for by one that does not wait, -1 if none is
	heard time.Time
	group []*task // that have come, and whose submitters are to be asked
}

// How long a pull waits, how often the server says that it is still there, and after how
// long without that it is not.
const (
	pullExpires = 10 * time.Second
	pullBeat    = 500 * time.Millisecond
	pullSilence = 3 * pullBeat
)

// pull asks for n jobs. The caller holds the service's mu.
func (s *source) pull(n int, wait bool) {
	req := map[string]any{"batch": n}
	if wait {
		req["expires"], req["idle_heartbeat"] = int64(pullExpires), int64(pullBeat)
		if s.out == 0 {
			s.heard = time.Now()
		}
		s.out += n
	} else {
		req["no_wait"] = true
		s.sweep, s.heard = n, time.Now()
	}
	data, _ := json.Marshal(req)
	sub := s.sub
	if !wait {
		sub = s.quick
	}
	err := s.v.c.link.nc.PublishRequest(s.subject, sub.Subject, data)
	if err != nil {
		s.out, s.sweep = 0, -1
	}
}

// recall takes back what was asked for and has not come, which would come to a worker that
// has no slot. The caller holds the service's mu.
func (s *source) recall() {
	if s.out == 0 || s.v.stopping {
		return
	}
	sub, err := s.listen(false)
	if err != nil {
		return
	}
	_ = s.sub.Drain() // the server forgets the pulls; what is on its way still comes
	s.sub, s.out, s.sweep = sub, 0, -1
}

// listen subscribes to what pulls bring.
func (s *source) listen(quick bool) (*nats.Subscription, error) {
	sub, err := s.v.c.link.nc.Subscribe(nats.NewInbox(), func(m *nats.Msg) { s.receive(m, quick) })
	if err != nil {
		return nil, fmt.Errorf("cluster: %w", err)
	}
	s.v.listening.Add(1)
	sub.SetClosedHandler(func(string) { s.v.listening.Done() })
	if err := sub.SetPendingLimits(-1, -1); err != nil {
		return nil, fmt.Errorf("cluster: %w", err)
	}
	return sub, nil
}

// receive takes a job, or what the server says of a pull.
func (s *source) receive(m *nats.Msg, quick bool) {
	if m.Reply == "" || len(m.Data) == 0 && m.Header.Get("Status") != "" {
		s.status(m, quick)
		return
	}
	t := s.v.read(s, m)
	s.v.mu.Lock()
	s.heard = time.Now()
	if !quick {
		s.out = max(s.out-1, 0)
	} else if s.sweep > 0 {
		s.sweep--
	}
	if t != nil {
		s.v.take(t)
		s.group = append(s.group, t)
	}
	swept := quick && s.sweep == 0
	if swept {
		s.sweep = -1
	}
	var group []*task
	// Those that have come together are asked about together.
	if left, _, err := m.Sub.Pending(); left <= 1 /* this one */ || err != nil || len(s.group) >= maxGroup || swept {
		group, s.group = s.group, nil
	}
	s.v.mu.Unlock()
	s.v.inquire(group)
	if swept {
		s.v.swept(s)
	}
}

const maxGroup = 128

// status acts on the end of a pull, or on a sign of life.
func (s *source) status(m *nats.Msg, quick bool) {
	status := m.Header.Get("Status")
	if status == "100" {
		if m.Reply != "" { // flow control
			_ = m.Respond(nil)
		}
		s.v.mu.Lock()
		s.heard = time.Now()
		s.v.mu.Unlock()
		return
	}
	left, err := strconv.Atoi(m.Header.Get("Nats-Pending-Messages"))
	s.v.mu.Lock()
	s.heard = time.Now()
	swept := false
	switch {
	case quick:
		swept = s.sweep >= 0
		s.sweep = -1
	case status == "408" && err == nil:
		s.out = max(s.out-left, 0)
	case status == "409" && err == nil && left > 0 && !strings.Contains(m.Header.Get("Description"), "onsumer"):
		s.out = max(s.out-left, 0)
	default:
		s.out = 0
	}
	group := s.group
	s.group = nil
	lost := status == "409" || status == "503"
	s.v.mu.Unlock()
	s.v.inquire(group)
	switch {
	case swept:
		s.v.swept(s)
	case lost: // the consumer has no leader now: not too eagerly
		time.AfterFunc(20*time.Millisecond, s.v.fill)
	default:
		s.v.fill()
	}
}

// byLevel orders sources, the highest level first.
func byLevel(all []*source) {
	slices.SortStableFunc(all, func(a, b *source) int { return b.level - a.level })
}
