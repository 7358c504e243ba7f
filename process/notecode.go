package process

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"time"

	"github.com/tristrand/tristrand/internal/wire"
)

// Notes have a coding of their own, since the first one is what each new process has to
// wait for, and the tables of a general one take as long to set up as all else that it
// does. What a note has stands in the order of the fields, after a byte of which of the
// last two are there: numbers as varints, texts with their length before them.
const (
	withFault = 1 << iota
	withConfig
)

// encode appends the note to buf.
func (n *note) encode(buf *bytes.Buffer) error {
	has := byte(0)
	if n.Fault != nil {
		has |= withFault
	}
	if n.Config != nil {
		has |= withConfig
	}
	w := noteWriter{buf.AvailableBuffer()}
	w.b = append(w.b, has)
	w.number(int64(n.Op))
	w.b = binary.AppendUvarint(w.b, n.Seq)
	w.bytes(n.Key)
	w.number(int64(n.N))
	w.text(n.Text)
	w.bytes(n.Body)
	if c := n.Config; c != nil {
		w.text(c.Name)
		w.text(c.Kind)
		w.text(c.Task)
		w.bytes(c.Input)
		w.truth(c.Raw)
		w.truth(c.Placed)
		w.number(int64(c.Left))
		w.bytes(c.Meta)
		w.number(int64(c.Sample))
	}
	buf.Write(w.b)
	if n.Fault != nil { // the last, as its length is not known before
		return wire.Encode(buf, n.Fault)
	}
	return nil
}

// decodeNote returns the note that b is. It does not keep b.
func decodeNote(b []byte) (n note, err error) {
	if len(b) == 0 {
		return n, fmt.Errorf("process: a note: %w", errFrame)
	}
	has := b[0]
	r := noteReader{b: b[1:]}
	n.Op = r.int()
	n.Seq = r.unsigned()
	n.Key = r.bytes()
	n.N = r.int()
	n.Text = r.text()
	n.Body = r.bytes()
	if has&withConfig != 0 {
		n.Config = &config{
			Name: r.text(), Kind: r.text(), Task: r.text(), Input: r.bytes(), Raw: r.truth(), Placed: r.truth(),
			Left: time.Duration(r.number()), Meta: r.bytes(), Sample: time.Duration(r.number()),
		}
	}
	switch {
	case r.bad, has&^(withFault|withConfig) != 0, has&withFault == 0 && len(r.b) > 0:
		return note{}, fmt.Errorf("process: a note: %w", errFrame)
	case has&withFault != 0:
		n.Fault = new(remoteFault)
		err = wire.Decode(r.b, n.Fault)
	}
	return n, err
}

type noteWriter struct{ b []byte }

func (w *noteWriter) number(v int64) { w.b = binary.AppendVarint(w.b, v) }

func (w *noteWriter) bytes(v []byte) {
	w.b = append(binary.AppendUvarint(w.b, uint64(len(v))), v...)
}

func (w *noteWriter) text(v string) {
	w.b = append(binary.AppendUvarint(w.b, uint64(len(v))), v...)
}

func (w *noteWriter) truth(v bool) {
	n := int64(0)
	if v {
		n = 1
	}
	w.number(n)
}

// A noteReader reads what a noteWriter has written, or anything: bad says that it was
// not that.
type noteReader struct {
	b   []byte
	bad bool
}

func (r *noteReader) unsigned() uint64 { return readNumber(r, binary.Uvarint) }
func (r *noteReader) number() int64    { return readNumber(r, binary.Varint) }

func readNumber[T int64 | uint64](r *noteReader, read func([]byte) (T, int)) T {
	v, n := read(r.b)
	if n <= 0 {
		r.bad, r.b = true, nil
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *noteReader) int() int {
	v := r.number()
	if v < math.MinInt || v > math.MaxInt {
		r.bad = true
	}
	return int(v)
}

func (r *noteReader) truth() bool {
	v := r.number()
	r.bad = r.bad || v&^1 != 0
	return v == 1
}

// piece returns the next text as a part of the note.
func (r *noteReader) piece() []byte {
	n := r.unsigned()
	if n > uint64(len(r.b)) {
		r.bad, r.b = true, nil
		return nil
	}
	v := r.b[:n]
	r.b = r.b[n:]
	return v
}

func (r *noteReader) text() string { return string(r.piece()) }

// bytes returns nil for no bytes, as is sent for it.
func (r *noteReader) bytes() []byte { return append([]byte(nil), r.piece()...) }
