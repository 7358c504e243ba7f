package process

import (
	"bytes"
	"context"
	"fmt"
	"reflect"
	"sync"
	"time"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/internal/parcel"
	"github.com/tristrand/tristrand/internal/portable"
	"github.com/tristrand/tristrand/internal/registry"
	"github.com/tristrand/tristrand/internal/segment"
	"github.com/tristrand/tristrand/internal/segment/pool"
	"github.com/tristrand/tristrand/internal/wire"
)

// An item is a job in a pool: what it is sent as, and where it is. Items are used
// again, so whoever keeps one beyond the pool's mutex keeps its seq beside it.
type item struct {
	p    *Pool
	job  tristrand.Job
	load load
	buf  bytes.Buffer // what load.body is

	// Guarded by the pool's mu.
	life  uint64 // counts the jobs that the item has been
	begun bool   // the job has been told that it runs
	ended bool   // its result is there, and is about to be told to the job
	seq   uint64 // of the call; 0 while it is in no slot
	w     *worker
	slot  int
	cause error       // why it shall stop; nil while it may go on
	lost  bool        // its result, or a part, was sent and died with its worker on the way
	timer *time.Timer // of its time limit, and then of its worker's grace
	watch *watch      // of its ctx

	// Of a chunk of Map; only the reader of its worker uses parts, and who buries it.
	inputs int
	parts  tristrand.Outcomes // those that have come
}

// A load is an encoded input.
type load struct {
	body  *bytes.Buffer // nil if seg has it
	own   *bytes.Buffer // to be used for body; nil is one of those that all use
	raw   bool
	meta  []byte
	seg   *segment.Segment
	n     int           // bytes in seg
	extra parcel.Parcel // what goes beside it
	sent  bool          // extra was
}

var buffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// maxKept is the largest buffer that is kept for the next.
const maxKept = 64 << 10

// maxOwn is the same for the buffer of an item.
const maxOwn = 4 << 10

func putBuffer(b *bytes.Buffer) {
	if b.Cap() <= maxKept {
		b.Reset()
		buffers.Put(b)
	}
}

// newItem encodes the input of j. Only what is sent is kept: the caller may change
// the input afterwards.
func (p *Pool) newItem(j tristrand.Job) (*item, error) {
	if j.Task() == "" {
		return nil, tristrand.ErrNotPortable
	}
	it, _ := p.items.Get().(*item)
	if it == nil {
		it = &item{p: p}
		it.load.own = &it.buf
	}
	it.job = j
	if err := it.load.pack("input", j.Input()); err != nil {
		it.drop()
		return nil, fmt.Errorf("process: task %q: %w", j.Task(), err)
	}
	it.parts, it.inputs = isChunk(j)
	if limits := j.Limits(); limits.Label != nil || registry.Propagates() {
		if err := it.load.packMeta(j.Context(), limits.Label); err != nil {
			it.drop()
			return nil, fmt.Errorf("process: task %q: what travels with its ctx: %w", j.Task(), err)
		}
	}
	return it, nil
}

// drop releases what the item holds; it must not be used afterwards.
func (it *item) drop() {
	it.load.drop()
	it.job, it.load = nil, load{own: &it.buf}
	it.life++
	it.begun, it.ended, it.lost = false, false, false
	it.seq, it.w, it.cause = 0, nil, nil
	it.timer, it.watch = nil, nil
	it.inputs, it.parts = 0, nil
	it.p.items.Put(it)
}

// pack encodes what v points at, which is called name in errors.
func (l *load) pack(name string, v any) error {
	if b, ok := wire.Raw(v); ok {
		l.raw = true
		if len(b) > inlineBody && shares() {
			return l.place(b)
		}
		l.body = l.buffer()
		l.body.Write(b)
		return nil
	}
	if !portable.Plain(reflect.TypeOf(v).Elem()) {
		if err := portable.Pack(name, v, &l.extra); err != nil {
			return err
		}
		if !l.extra.Empty() && !shares() {
			return errNoDescriptors
		}
	}
	l.body = l.buffer()
	if err := wire.Encode(l.body, v); err != nil {
		return fmt.Errorf("the %s %w", name, err)
	}
	if l.body.Len() > inlineBody && shares() {
		b := l.body
		l.body = nil
		defer l.putBuffer(b)
		return l.place(b.Bytes())
	}
	return nil
}

// buffer returns an empty buffer for the body.
func (l *load) buffer() *bytes.Buffer {
	if l.own != nil {
		return l.own
	}
	return buffers.Get().(*bytes.Buffer) //nolint:forcetypeassert // only these are in
}

func (l *load) putBuffer(b *bytes.Buffer) {
	switch {
	case b != l.own:
		putBuffer(b)
	case b.Cap() > maxOwn:
		*b = bytes.Buffer{}
	default:
		b.Reset()
	}
}

// inlineBody is the longest body that fits into a frame with all that may stand
// before it.
var inlineBody = inline - jobHead - 512

// place puts a body that no frame takes into a segment.
func (l *load) place(b []byte) error {
	s, err := pool.Shared().Get(len(b))
	if err != nil {
		return fmt.Errorf("%d bytes: %w", len(b), err)
	}
	copy(s.Bytes(), b)
	l.seg, l.n = s, len(b)
	return nil
}

// reference returns the body, or where it is.
func (l *load) reference() []byte {
	if l.seg != nil {
		return appendRef(nil, l.seg.Key(), l.n)
	}
	return l.body.Bytes()
}

func (l *load) drop() {
	if l.body != nil {
		l.putBuffer(l.body)
	}
	if l.seg != nil {
		pool.Shared().Put(l.seg)
	}
	if l.sent {
		_ = l.extra.Close() // duplicates
	} else {
		_ = l.extra.Abandon()
	}
}

// meta is what travels with a job besides its input.
type meta struct {
	Labels map[string]string `cbor:"1,keyasint,omitempty"`
	Values map[string]string `cbor:"2,keyasint,omitempty"`
}

// maxMeta bounds what travels with a job's ctx, as it goes with each.
const maxMeta = 8 << 10

func (l *load) packMeta(ctx context.Context, labels map[string]string) error {
	m := meta{Labels: labels}
	registry.Inject(ctx, func(k, v string) {
		if m.Values == nil {
			m.Values = make(map[string]string)
		}
		m.Values[k] = v
	})
	if m.Labels == nil && m.Values == nil {
		return nil
	}
	var buf bytes.Buffer
	if err := wire.Encode(&buf, &m); err != nil {
		return err
	}
	if buf.Len() > maxMeta {
		return fmt.Errorf("%d bytes; %d can", buf.Len(), maxMeta)
	}
	l.meta = buf.Bytes()
	return nil
}

// frame returns the frame of the item for its worker, which has a number for the
// task's name or gets one.
func (it *item) frame(number uint32, first bool, left time.Duration) jobFrame {
	f := jobFrame{slot: uint16(it.slot), number: number, seq: it.seq, left: left}
	if first {
		f.flags |= flagName
		f.name = []byte(it.job.Task())
	}
	if it.load.raw {
		f.flags |= flagRaw
	}
	if it.load.meta != nil {
		f.flags |= flagMeta
		f.meta = it.load.meta
	}
	if it.load.seg != nil {
		f.flags |= flagSegment
	}
	if !it.load.extra.Empty() {
		f.flags |= flagExtra
	}
	f.body = it.load.reference()
	return f
}
