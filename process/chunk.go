package process

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"reflect"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/internal/portable"
	"github.com/tristrand/tristrand/internal/wire"
)

// What Map sends as one job to a pool.
const (
	chunkTime = 2 * time.Millisecond
	maxChunk  = 1 << 14
)

// Chunking makes Map send inputs in chunks that take about 2 ms, when they are quick.
// A worker that dies in the middle of one fails the input that it was at: what it had
// done is known, and the rest goes to another.
func (p *Pool) Chunking() (target time.Duration, most int) { return chunkTime, maxChunk }

// A journal is memory of the lane in which a worker keeps the values of the chunk that
// it runs, encoded, until it sends them: so what it had done is known when it dies. One
// word says how many values there are, which is the first, and how long they are.
const (
	journalAt    = 4096
	journalBytes = 32 << 10

	lenBits   = 20
	countBits = 20
)

type journal struct {
	word *atomic.Uint64
	data []byte
}

func journalOf(mem []byte) journal {
	return journal{(*atomic.Uint64)(unsafe.Pointer(&mem[2048])), mem[journalAt : journalAt+journalBytes]}
}

// reset empties the journal; the next value is that of the input numbered first.
func (j journal) reset(first int) { j.word.Store(uint64(first) << (lenBits + countBits)) }

func (j journal) state() (first, count, n int) {
	w := j.word.Load()
	return int(w >> (lenBits + countBits)), int(w >> lenBits & (1<<countBits - 1)), int(w & (1<<lenBits - 1))
}

// add appends a value, and returns false if there is no room for it.
func (j journal) add(b []byte) bool {
	first, count, n := j.state()
	if n+len(b) > len(j.data) || count+1 >= 1<<countBits {
		return false
	}
	copy(j.data[n:], b)
	j.word.Store(uint64(first)<<(lenBits+countBits) | uint64(count+1)<<lenBits | uint64(n+len(b)))
	return true
}

// outcomes returns the values as encodeOutcomes would write them, copied, and the
// number of the first.
func (j journal) outcomes(buf *bytes.Buffer) (first, count int) {
	first, count, n := j.state()
	at := buf.Len()
	buf.Write(make([]byte, 4))
	buf.Write(arrayHead(count))
	buf.Write(j.data[:min(n, len(j.data))])
	binary.LittleEndian.PutUint32(buf.Bytes()[at:], uint32(buf.Len()-at-4))
	buf.Write(arrayHead(0))
	return first, count
}

// arrayHead returns how a CBOR array of n elements begins.
func arrayHead(n int) []byte {
	const array = 4 << 5
	if n < 24 {
		return []byte{array | byte(n)}
	}
	return binary.BigEndian.AppendUint32([]byte{array | 26}, uint32(n))
}

// A lost input is one that failed, as it crosses.
type lostInput struct {
	Index int          `cbor:"1,keyasint"`
	Fault *remoteFault `cbor:"2,keyasint"`
}

// encodeOutcomes appends the outcomes from the one numbered from on: the length of the
// values, the values as one slice, the failures.
func encodeOutcomes(buf *bytes.Buffer, o tristrand.Outcomes, from int) error {
	at := buf.Len()
	buf.Write(make([]byte, 4))
	values := reflect.ValueOf(o.Values()).Elem()
	n := values.Len()
	rest := reflect.New(values.Type()) // a pointer, as those are encoded fastest
	rest.Elem().Set(values.Slice(from, n))
	if err := wire.Encode(buf, rest.Interface()); err != nil {
		buf.Truncate(at + 4)
		for i := from; i < n; i++ { // one of them is at fault
			if one := wire.Encode(new(bytes.Buffer), o.At(i)); one != nil {
				o.Fail(i, fmt.Errorf("process: the output %w", one))
			}
		}
		if err := wire.Encode(buf, rest.Interface()); err != nil {
			return fmt.Errorf("the outputs %w", err)
		}
	}
	binary.LittleEndian.PutUint32(buf.Bytes()[at:], uint32(buf.Len()-at-4))
	var lost []lostInput
	for _, f := range o.Failures() {
		if f.Index >= from {
			lost = append(lost, lostInput{f.Index, faults.Of(f.Err)})
		}
	}
	return wire.Encode(buf, lost)
}

// decodeOutcomes adds what encodeOutcomes wrote to o, of a chunk that has no
// more inputs than most.
func decodeOutcomes(b []byte, o tristrand.Outcomes, most int) error {
	if len(b) < 4 || uint64(len(b)-4) < uint64(binary.LittleEndian.Uint32(b)) {
		return errFrame
	}
	n := binary.LittleEndian.Uint32(b)
	values := reflect.ValueOf(o.Values()).Elem()
	into := reflect.New(values.Type())
	if err := wire.Decode(b[4:4+n], into.Interface()); err != nil {
		return err
	}
	var lost []lostInput
	if err := wire.Decode(b[4+n:], &lost); err != nil {
		return err
	}
	more := into.Elem()
	if values.Len()+more.Len() > most {
		return fmt.Errorf("%d outcomes for %d inputs: %w", values.Len()+more.Len(), most, errFrame)
	}
	if values.Len() == 0 {
		values.Set(more)
	} else {
		values.Set(reflect.AppendSlice(values, more))
	}
	for _, f := range lost {
		if f.Index < 0 || f.Index >= values.Len() || f.Fault == nil {
			return fmt.Errorf("the outcome of an input that there is not: %w", errFrame)
		}
		o.Fail(f.Index, faultErr(f.Fault))
	}
	return nil
}

// isChunk reports whether a job is a chunk of Map, and of how many inputs.
func isChunk(j tristrand.Job) (tristrand.Outcomes, int) {
	task := j.Task()
	if len(task) < 3 || task[len(task)-1] != ']' { // as only theirs may end
		return nil, 0
	}
	o, ok := j.NewOutput().(tristrand.Outcomes)
	if !ok {
		return nil, 0
	}
	return o, reflect.ValueOf(j.Input()).Elem().Len()
}

// A chunkCtx is the ctx of a chunk in a worker, which tells the pool of its progress.
type chunkCtx struct {
	context.Context //nolint:containedctx // it is that ctx
	v               *server
	f               *jobFrame
	journal         journal
	simple          bool // the values go into the journal
	out             tristrand.Outcomes
	told            int // outcomes that the pool has
	failed          int // failures that were told
}

func (v *server) newChunk(f *jobFrame) *chunkCtx {
	c := &chunkCtx{v: v, f: f}
	if v.mail == nil {
		c.journal = journalOf(v.mem) // it is empty
	}
	return c
}

// Progress keeps the outcome of one more input where it survives this process: in the
// journal, or with the pool.
func (c *chunkCtx) Progress(o tristrand.Outcomes) {
	if c.out == nil {
		c.out = o
		c.simple = c.v.mail == nil && portable.Plain(reflect.TypeOf(o.Values()).Elem().Elem())
	}
	if c.simple && len(o.Failures()) == c.failed {
		buf := &c.v.scratch
		buf.Reset()
		if wire.Encode(buf, o.At(o.Len()-1)) == nil && c.journal.add(buf.Bytes()) {
			return
		}
	}
	c.tell(o, true, 0)
}

// tell sends the outcomes that the pool does not have.
func (c *chunkCtx) tell(o tristrand.Outcomes, part bool, ran time.Duration) {
	v := c.v
	l := &load{body: buffers.Get().(*bytes.Buffer)} //nolint:forcetypeassert // only these are in
	defer l.drop()
	var err error
	if c.simple && len(o.Failures()) == c.failed && c.all(o) {
		c.journal.outcomes(l.body)
	} else if err = checkOutputs(o, l); err == nil {
		err = encodeOutcomes(l.body, o, c.told)
	}
	if err == nil && l.body.Len() > inlineBody && shares() {
		b := l.body
		l.body = nil
		defer putBuffer(b)
		err = l.place(b.Bytes())
	}
	if err == nil {
		err = v.out.load(l)
	}
	if err != nil {
		if !part {
			v.failed(c.f, ran, fmt.Errorf("process: the outputs of a chunk: %w", err))
		}
		return
	}
	r := resultFrame{slot: c.f.slot, ran: ran, seq: c.f.seq, body: l.reference()}
	if part {
		r.flags |= flagPart
	}
	v.sendBody(&r, l)
	c.told, c.failed = o.Len(), len(o.Failures())
	if part && v.mail == nil {
		c.journal.reset(c.told)
	}
}

// forget empties the journal when the pool has its answer. Done any later it would be
// taken for that of the next chunk, should this process die when it has claimed that one.
func (c *chunkCtx) forget() {
	if c.v.mail == nil {
		c.journal.reset(0)
	}
}

// all reports whether the journal has all that the pool does not.
func (c *chunkCtx) all(o tristrand.Outcomes) bool {
	first, count, _ := c.journal.state()
	return first == c.told && first+count == o.Len()
}

// checkOutputs looks for what cannot be sent, and for what goes beside the bytes.
func checkOutputs(o tristrand.Outcomes, l *load) error {
	if portable.Plain(reflect.TypeOf(o.Values()).Elem().Elem()) {
		return nil
	}
	return portable.Pack("output", o.Values(), &l.extra)
}

// recover adds to the outcomes of a chunk whose worker has died those that are in its
// journal.
func recoverChunk(it *item, mem []byte) {
	var buf bytes.Buffer
	first, count := journalOf(mem).outcomes(&buf)
	if first == it.parts.Len() && count > 0 {
		_ = decodeOutcomes(buf.Bytes(), it.parts, it.inputs) // what cannot be read is not known
	}
}
