package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"strconv"
	"strings"
	"sync"

	"github.com/nats-io/nats.go"

	"github.com/tristrand/tristrand/strand"
)

// A Dict is a map from text to values that the processes of a cluster share. Each key is
// stored by itself.
type Dict[V any] struct {
	c    *Cluster
	name string
	subj string
}

// NewDict returns the dict of that name.
func NewDict[V any](c *Cluster, name string) *Dict[V] {
	return &Dict[V]{c, fmt.Sprintf("cluster dict %q", name), "v.dict." + escape(name) + "."}
}

// ErrNoKey says that there is no value under a key.
var ErrNoKey = errors.New("cluster: there is no such key")

func (d *Dict[V]) String() string { return d.name }

// Releasers says that anyone could end a wait.
func (d *Dict[V]) Releasers(buf []strand.Releaser) ([]strand.Releaser, bool) { return buf, false }

func (d *Dict[V]) fault(key string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: key %q: %w", d.name, key, err)
}

// Get returns the value of a key, or ErrNoKey.
func (d *Dict[V]) Get(ctx context.Context, key string) (v V, err error) {
	strand.Enter(ctx, strand.Op{Verb: "get", On: d})
	v, _, ok, err := d.get(ctx, key)
	if err == nil && !ok {
		err = ErrNoKey
	}
	return v, d.fault(key, err)
}

func (d *Dict[V]) get(ctx context.Context, key string) (v V, seq uint64, ok bool, err error) {
	data, seq, err := d.c.loadKey(ctx, d.subj+escape(key))
	if err != nil || data == nil || isGone(data) {
		return v, seq, false, err
	}
	return v, seq, true, openKey(data, &v)
}

func isGone(data []byte) bool {
	var s sealed
	return unpack(data, false, &s) == nil && s.Gone
}

// Set sets the value of a key.
func (d *Dict[V]) Set(ctx context.Context, key string, v V) error {
	strand.Enter(ctx, strand.Op{Verb: "set", On: d, Write: true})
	data, err := sealKey(&v)
	if err == nil {
		err = d.c.storeKey(ctx, d.subj+escape(key), nil, data)
	}
	return d.fault(key, err)
}

// SetGuarded is Set that is refused unless the caller holds the lock g; see
// Value.StoreGuarded.
func (d *Dict[V]) SetGuarded(ctx context.Context, g Guard, key string, v V) error {
	strand.Enter(ctx, strand.Op{Verb: "set", On: d, Write: true})
	data, err := sealKey(&v)
	if err == nil {
		err = d.c.storeGuarded(ctx, d.subj+escape(key), g, data)
	}
	return d.fault(key, err)
}

// Update replaces the value of a key, the zero value if there is none, by f of it. f may run
// more than once.
func (d *Dict[V]) Update(ctx context.Context, key string, f func(v V, ok bool) (V, error)) (V, error) {
	strand.Enter(ctx, strand.Op{Verb: "update", On: d, Write: true})
	var none V
	for {
		old, seq, ok, err := d.get(ctx, key)
		if err != nil {
			return none, d.fault(key, err)
		}
		next, err := f(old, ok)
		if err != nil {
			return none, err
		}
		data, err := sealKey(&next)
		if err == nil {
			err = d.c.storeKey(ctx, d.subj+escape(key), &seq, data)
		}
		if !hasCode(err, codeWrongLast, codeWrongConstant) {
			return next, d.fault(key, err)
		}
	}
}

// Delete takes a key out; one that is not there is no error.
func (d *Dict[V]) Delete(ctx context.Context, key string) error {
	strand.Enter(ctx, strand.Op{Verb: "delete", On: d, Write: true})
	return d.fault(key, d.c.storeKey(ctx, d.subj+escape(key), nil, encode(&sealed{Gone: true})))
}

// All yields the keys and values, in the order in which they were set last. What is set
// meanwhile may be among them, later again.
func (d *Dict[V]) All(ctx context.Context) iter.Seq2[Entry[V], error] {
	return func(yield func(Entry[V], error) bool) {
		strand.Enter(ctx, strand.Op{Verb: "all", On: d})
		prefix := d.c.subject("s." + d.subj)
		for seq := uint64(1); ; {
			m, err := d.c.link.get(ctx, d.c.stream(streamSync), map[string]any{"seq": seq, "next_by_subj": prefix + "*"})
			if hasCode(err, codeNoStream) || err == nil && m == nil {
				return
			}
			var e Entry[V]
			if err == nil {
				seq = m.Seq + 1
				if isGone(m.Data) {
					continue
				}
				e.Key = unescape(strings.TrimPrefix(m.Subject, prefix))
				err = d.fault(e.Key, openKey(m.Data, &e.Value))
			}
			if !yield(e, err) || err != nil {
				return
			}
		}
	}
}

// An Entry is a key with its value; Gone is one that was deleted.
type Entry[V any] struct {
	Key   string
	Value V
	Gone  bool
}

// Watch yields every change, beginning with the entries that there are, until ctx ends,
// whose error is last. Of changes of one key that come faster than they are taken only the
// newest is yielded.
func (d *Dict[V]) Watch(ctx context.Context) iter.Seq2[Entry[V], error] {
	return func(yield func(Entry[V], error) bool) {
		prefix := d.c.subject("s." + d.subj)
		for x, err := range d.c.watchKeys(ctx, d.subj+"*", d) {
			var e Entry[V]
			if err == nil && x.data != nil {
				e.Key, e.Gone = unescape(strings.TrimPrefix(x.subject, prefix)), isGone(x.data)
				err = d.fault(e.Key, openKey(x.data, &e.Value))
			}
			if x.data == nil && err == nil {
				continue // there is nothing yet
			}
			if !yield(e, err) || err != nil {
				return
			}
		}
	}
}

// A change is what a watch sees.
type change struct {
	subject string // as it is stored
	seq     uint64
	data    []byte
}

// A watcher gathers changes until they are taken: the newest of each key.
type watcher struct {
	mu     sync.Mutex
	order  []string
	newest map[string]change
	seen   map[string]uint64
	w      strand.Wait
	parked bool
}

func (x *watcher) add(c change) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if c.seq <= x.seen[c.subject] {
		return
	}
	x.seen[c.subject] = c.seq
	if _, there := x.newest[c.subject]; !there {
		x.order = append(x.order, c.subject)
	}
	x.newest[c.subject] = c
	if x.parked {
		x.parked = false
		x.w.Grant()
	}
}

// next waits for a change.
func (x *watcher) next(ctx context.Context, on strand.Resource) (change, error) {
	for {
		if err := strand.Err(ctx); err != nil {
			return change{}, err
		}
		w := strand.Current(ctx).NewWait()
		x.mu.Lock()
		if len(x.order) > 0 {
			c := x.newest[x.order[0]]
			delete(x.newest, x.order[0])
			x.order = x.order[1:]
			x.mu.Unlock()
			w.Cancel()
			return c, nil
		}
		x.w, x.parked = w, true
		x.mu.Unlock()
		if err := w.Park(ctx, on); err != nil {
			x.mu.Lock()
			x.parked = false
			x.mu.Unlock()
			return change{}, err
		}
	}
}

// watchKeys yields what is stored under keys, then all changes. If nothing is stored, one
// without data is first.
func (c *Cluster) watchKeys(ctx context.Context, keys string, on strand.Resource) iter.Seq2[change, error] {
	return func(yield func(change, error) bool) {
		if err := c.ensure(ctx, streamSync); err != nil {
			yield(change{}, err)
			return
		}
		x := &watcher{newest: make(map[string]change), seen: make(map[string]uint64)}
		sub, err := c.link.nc.Subscribe(c.subject("e."+keys), func(m *nats.Msg) {
			seq, err := strconv.ParseUint(m.Header.Get("Nats-Sequence"), 10, 64)
			if err == nil {
				x.add(change{m.Header.Get("Nats-Subject"), seq, bytes.Clone(m.Data)})
			}
		})
		if err != nil {
			yield(change{}, err)
			return
		}
		defer func() { _ = sub.Unsubscribe() }()
		load := func() error {
			for seq := uint64(1); ; {
				m, err := c.link.get(ctx, c.stream(streamSync), map[string]any{"seq": seq, "next_by_subj": c.subject("s." + keys)})
				if err != nil || m == nil {
					return err
				}
				seq = m.Seq + 1
				x.add(change{m.Subject, m.Seq, m.Data})
			}
		}
		remove := c.afterReconnect(func() { _ = load() }) // what was missed
		defer remove()
		if err := load(); err != nil {
			yield(change{}, err)
			return
		}
		x.mu.Lock()
		none := len(x.order) == 0
		x.mu.Unlock()
		if none && !yield(change{}, nil) {
			return
		}
		for {
			e, err := x.next(ctx, on)
			if !yield(e, err) || err != nil {
				return
			}
		}
	}
}
