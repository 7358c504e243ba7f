package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/nats-io/nats.go"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/strand"
)

// A Counter is a number that the processes of a cluster add to: the servers do it, so that
// no one waits for another.
type Counter struct {
	c    *Cluster
	name string
	subj string
}

// NewCounter returns the counter of that name, which begins at 0.
func NewCounter(c *Cluster, name string) *Counter {
	return &Counter{c, fmt.Sprintf("cluster counter %q", name), "k." + escape(name)}
}

func (k *Counter) String() string { return k.name }

// Releasers says that anyone could end a wait.
func (k *Counter) Releasers(buf []strand.Releaser) ([]strand.Releaser, bool) { return buf, false }

// Add adds n and returns the sum. When it is not known whether that was done, because the
// servers did not answer, the error is tristrand.ErrOutcomeUnknown and it is not done again.
func (k *Counter) Add(ctx context.Context, n int64) (int64, error) {
	strand.Enter(ctx, strand.Op{Verb: "add", On: k, Write: true})
	if err := k.c.ensure(ctx, streamCount); err != nil {
		return 0, err
	}
	incr := strconv.FormatInt(n, 10)
	if n >= 0 {
		incr = "+" + incr
	}
	r, err := k.c.link.storeOnce(ctx, k.name, k.c.subject(k.subj), nats.Header{"Nats-Incr": []string{incr}}, nil)
	if errors.Is(err, errNoAnswer) {
		err = fmt.Errorf("%w: %w", tristrand.ErrOutcomeUnknown, err)
	}
	if err != nil {
		return 0, fmt.Errorf("%s: %w", k.name, err)
	}
	sum, err := strconv.ParseInt(r.Value, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%s: its sum %q is beyond 64 bits", k.name, r.Value)
	}
	return sum, nil
}

// Load returns the sum.
func (k *Counter) Load(ctx context.Context) (int64, error) {
	strand.Enter(ctx, strand.Op{Verb: "load", On: k})
	if err := k.c.ensure(ctx, streamCount); err != nil {
		return 0, err
	}
	m, err := k.c.link.last(ctx, k.c.stream(streamCount), k.c.subject(k.subj))
	if err != nil || m == nil {
		return 0, err
	}
	var v struct {
		Val string `json:"val"`
	}
	if err := json.Unmarshal(m.Data, &v); err != nil {
		return 0, fmt.Errorf("%s: %w", k.name, err)
	}
	return strconv.ParseInt(v.Val, 10, 64)
}
