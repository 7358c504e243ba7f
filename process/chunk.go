package process

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
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
	flushTime = 20 * time.Microsecond // the outcomes of inputs are not kept back longer, while others run
)

// Chunking makes Map send inputs in chunks that take about 2 ms, when they are quick.
// A worker that dies in the middle of one fails the input that it was at; of those that
// it had done in the last 20 µs the outcome may be lost: they fail with
// tristrand.ErrOutcomeUnknown.
func (p *Pool) Chunking() (target time.Duration, most int) { return chunkTime, maxChunk }

// begunAt returns the word that says how many inputs of the chunk in a slot have come
// to their end.
func begunAt(mem []byte, slot int) *atomic.Uint32 {
	return (*atomic.Uint32)(unsafe.Pointer(&mem[1024+slot*4]))
}

// A lost input is one that failed, as it crosses.
type lostInput struct {
	Index int    `cbor:"1,keyasint"`
	Fault *fault `cbor:"2,keyasint"`
}

// encodeOutcomes appends the outcomes from the one numbered from on: the length of the
// values, the values as one slice, the failures.
func encodeOutcomes(buf *bytes.Buffer, o tristrand.Outcomes, from int) error {
	at := buf.Len()
	buf.Write(make([]byte, 4))
	values := reflect.ValueOf(o.Values()).Elem()
	n := values.Len()
	if err := wire.Encode(buf, values.Slice(from, n).Interface()); err != nil {
		buf.Truncate(at + 4)
		for i := from; i < n; i++ { // one of them is at fault
			if one := wire.Encode(new(bytes.Buffer), o.At(i)); one != nil {
				o.Fail(i, fmt.Errorf("process: the output %w", one))
			}
		}
		if err := wire.Encode(buf, values.Slice(from, n).Interface()); err != nil {
			return fmt.Errorf("the outputs %w", err)
		}
	}
	binary.LittleEndian.PutUint32(buf.Bytes()[at:], uint32(buf.Len()-at-4))
	var lost []lostInput
	for _, f := range o.Failures() {
		if f.Index >= from {
			lost = append(lost, lostInput{f.Index, faultOf(f.Err)})
		}
	}
	return wire.Encode(buf, lost)
}

// decodeOutcomes adds what encodeOutcomes wrote to o, of a chunk of at most most
// inputs.
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
		o.Fail(f.Index, f.Fault.err())
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
	context.Context
	v    *server
	f    *jobFrame
	out  tristrand.Outcomes
	told int       // outcomes that the pool has
	last time.Time // when it was told
}

// Progress notes that one more input is done. What has been kept back for a while goes
// to the pool before the next one begins, which may take long, or be the end.
func (c *chunkCtx) Progress(o tristrand.Outcomes) {
	c.out = o
	begunAt(c.v.mem, int(c.f.slot)).Store(uint32(o.Len()))
	now := time.Now()
	if now.Sub(c.last) < flushTime {
		return
	}
	c.last = now
	c.tell(o, true, 0)
}

// tell sends the outcomes that the pool does not have.
func (c *chunkCtx) tell(o tristrand.Outcomes, part bool, ran time.Duration) {
	v := c.v
	l := &load{body: buffers.Get().(*bytes.Buffer)} //nolint:forcetypeassert // only these are in
	defer l.drop()
	err := checkOutputs(o, l)
	if err == nil {
		err = encodeOutcomes(l.body, o, c.told)
	}
	if err == nil && l.body.Len() > inlineBody {
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
	c.told = o.Len()
	r := resultFrame{slot: c.f.slot, ran: ran, seq: c.f.seq, body: l.reference()}
	if part {
		r.flags |= flagPart
	}
	v.sendBody(&r, l)
}

// checkOutputs looks for what cannot be sent, and for what goes beside the bytes.
func checkOutputs(o tristrand.Outcomes, l *load) error {
	t := reflect.TypeOf(o.Values()).Elem()
	if plain(t.Elem()) {
		return nil
	}
	return portable.Pack("output", reflect.ValueOf(o.Values()).Elem().Interface(), &l.extra)
}

// afterDeath completes the outcomes of a chunk whose worker has died: those of which
// the worker had said that they were done, but not how, are unknown.
func afterDeath(o tristrand.Outcomes, begun, most int, err error) {
	for i := o.Len(); i < min(begun, most-1); i++ {
		o.Fail(i, errors.Join(tristrand.ErrOutcomeUnknown, err))
	}
}
