package cluster

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/strand"
)

// A Value is one value that the processes of a cluster share.
type Value[T any] struct {
	c    *Cluster
	name string
	subj string
}

var _ tristrand.Value[int] = (*Value[int])(nil)

// NewValue returns the value of that name; it is T's zero value until it is stored.
func NewValue[T any](c *Cluster, name string) *Value[T] {
	return &Value[T]{c, fmt.Sprintf("cluster value %q", name), "v.value." + escape(name)}
}

func (v *Value[T]) String() string { return v.name }

// Releasers says that anyone could end a wait.
func (v *Value[T]) Releasers(buf []strand.Releaser) ([]strand.Releaser, bool) { return buf, false }

// A Guard is a lock that a write can depend on: see Value.StoreGuarded.
type Guard interface {
	fence(ctx context.Context) (token, seq uint64, err error)
	guarded() string
}

var (
	_ Guard = (*Lock)(nil)
	_ Guard = (*RLock)(nil)
)

func (l *locker) guarded() string { return l.o.c.subject("s." + l.o.subj) }

// Load returns the value.
func (v *Value[T]) Load(ctx context.Context) (T, error) {
	strand.Enter(ctx, strand.Op{Verb: "load", On: v})
	out, _, err := v.load(ctx)
	return out, err
}

func (v *Value[T]) load(ctx context.Context) (out T, seq uint64, err error) {
	data, seq, err := v.c.loadKey(ctx, v.subj)
	if err == nil && data != nil {
		err = openKey(data, &out)
	}
	if err != nil {
		return out, 0, fmt.Errorf("%s: %w", v.name, err)
	}
	return out, seq, nil
}

// Store replaces the value.
func (v *Value[T]) Store(ctx context.Context, val T) error {
	strand.Enter(ctx, strand.Op{Verb: "store", On: v, Write: true})
	data, err := sealKey(&val)
	if err == nil {
		err = v.c.storeKey(ctx, v.subj, nil, data)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", v.name, err)
	}
	return nil
}

// StoreGuarded replaces the value if the caller holds the lock g, and the servers make sure
// of that at the moment of the write: one who only believes that it holds it, because its
// process was stopped meanwhile or its clock is wrong, gets tristrand.ErrNotHeld or ErrLost,
// and nothing is written.
func (v *Value[T]) StoreGuarded(ctx context.Context, g Guard, val T) error {
	strand.Enter(ctx, strand.Op{Verb: "store", On: v, Write: true})
	data, err := sealKey(&val)
	if err == nil {
		err = v.c.storeGuarded(ctx, v.subj, g, data)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", v.name, err)
	}
	return nil
}

// Update replaces the value by f of it and returns the new one. f may run more than once.
func (v *Value[T]) Update(ctx context.Context, f func(T) (T, error)) (T, error) {
	strand.Enter(ctx, strand.Op{Verb: "update", On: v, Write: true})
	var none T
	for {
		old, seq, err := v.load(ctx)
		if err != nil {
			return none, err
		}
		next, err := f(old)
		if err != nil {
			return none, err
		}
		data, err := sealKey(&next)
		if err == nil {
			err = v.c.storeKey(ctx, v.subj, &seq, data)
		}
		if err == nil {
			return next, nil
		}
		if !hasCode(err, codeWrongLast, codeWrongConstant) {
			return none, fmt.Errorf("%s: %w", v.name, err)
		}
	}
}

// Watch yields the value, and then every new one, until ctx ends, whose error is last. Of
// values that come faster than they are taken only the newest is yielded.
func (v *Value[T]) Watch(ctx context.Context) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for e, err := range v.c.watchKeys(ctx, v.subj, v) {
			var out T
			if err == nil && e.data != nil {
				err = openKey(e.data, &out)
			}
			if !yield(out, err) || err != nil {
				return
			}
		}
	}
}

// A sealed is a value as it is stored: Gone is one that was deleted.
type sealed struct {
	Body []byte `cbor:"1,keyasint,omitempty"`
	Raw  bool   `cbor:"2,keyasint,omitempty"`
	Gone bool   `cbor:"3,keyasint,omitempty"`
}

func sealKey(v any) ([]byte, error) {
	body, raw, err := pack("value", v)
	if err != nil {
		return nil, err
	}
	if len(body) > bigBody {
		return nil, fmt.Errorf("a value of %d bytes: it can have %d: store where the data are instead", len(body), bigBody)
	}
	return encode(&sealed{Body: body, Raw: raw}), nil
}

func openKey(data []byte, v any) error {
	var s sealed
	if err := unpack(data, false, &s); err != nil {
		return err
	}
	if s.Gone {
		return nil
	}
	return unpack(s.Body, s.Raw, v)
}

// loadKey reads what is stored under a key, nil if nothing is.
func (c *Cluster) loadKey(ctx context.Context, key string) (data []byte, seq uint64, err error) {
	if err := c.ensure(ctx, streamSync); err != nil {
		return nil, 0, err
	}
	until := time.Now().Add(casPatience)
	for {
		m, err := c.link.last(ctx, c.stream(streamSync), c.subject("s."+key))
		switch {
		case err == nil && m == nil:
			return nil, 0, nil
		case err == nil:
			return m.Data, m.Seq, nil
		case !away(err) || time.Now().After(until):
			return nil, 0, err
		}
		if err := strand.Sleep(ctx, reconnectWait); err != nil {
			return nil, 0, err
		}
	}
}

// storeKey replaces what is stored under a key, if that has the sequence *last.
func (c *Cluster) storeKey(ctx context.Context, key string, last *uint64, data []byte) error {
	if err := c.ensure(ctx, streamSync); err != nil {
		return err
	}
	hdr := nats.Header{"Nats-Msg-Id": []string{newID()}} // to be stored once, however often it is sent
	if last != nil {
		hdr = nats.Header{"Nats-Expected-Last-Subject-Sequence": []string{strconv.FormatUint(*last, 10)}}
	}
	until := time.Now().Add(casPatience)
	for {
		_, err := readReceipt(c.link.call(ctx, "the storing of a value", c.subject("s."+key), hdr, data, writeWait))
		unsure := errors.Is(err, errNoAnswer) || hasCode(err, codeUnderWay)
		switch {
		case err == nil:
			return nil
		case hasCode(err, codeWrongLast) && last != nil, !unsure && !away(err):
			return err
		case unsure && last != nil, time.Now().After(until):
			return fmt.Errorf("%w: %w", tristrand.ErrOutcomeUnknown, err)
		}
		if err := strand.Sleep(ctx, reconnectWait); err != nil {
			return err
		}
	}
}

// storeGuarded is storeKey that the servers refuse unless the caller holds a lock.
func (c *Cluster) storeGuarded(ctx context.Context, key string, g Guard, data []byte) error {
	if err := c.ensure(ctx, streamSync); err != nil {
		return err
	}
	for {
		token, seq, err := g.fence(ctx)
		if err != nil {
			return err
		}
		hdr := nats.Header{
			"Nats-Expected-Last-Subject-Sequence":         []string{formatUint(seq)},
			"Nats-Expected-Last-Subject-Sequence-Subject": []string{g.guarded()},
			"Tri-Token": []string{formatUint(token)},
		}
		_, err = readReceipt(c.link.call(ctx, "the storing of a value", c.subject("s."+key), hdr, data, 2*time.Second))
		switch {
		case hasCode(err, codeWrongLast, codeWrongConstant): // somebody has come to wait for the lock, or holds it now
		case errors.Is(err, errNoAnswer):
			return fmt.Errorf("%w: %w", tristrand.ErrOutcomeUnknown, err)
		default:
			return err
		}
	}
}
