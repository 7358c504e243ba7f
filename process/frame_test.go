package process

import (
	"bytes"
	"errors"
	"reflect"
	"testing"
	"time"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/internal/segment"
)

func TestFramesComeBack(t *testing.T) {
	for _, f := range []jobFrame{
		{slot: 3, number: 7, seq: 1 << 40, left: time.Hour, body: []byte("body")},
		{flags: flagName | flagMeta | flagRaw, name: []byte("a.task"), meta: []byte{1, 2}, body: []byte{}},
	} {
		b := make([]byte, f.size())
		f.write(b)
		got, err := readJob(b)
		if err != nil || !reflect.DeepEqual(got, f) {
			t.Errorf("%+v comes back as %+v, %v", f, got, err)
		}
		for n := range jobHead {
			if _, err := readJob(b[:n]); !errors.Is(err, errFrame) {
				t.Errorf("%d bytes of a frame give %v", n, err)
			}
		}
	}
	r := resultFrame{flags: flagError, slot: 9, ran: time.Second, seq: 5, mark: 6, body: []byte("x")}
	b := make([]byte, r.size())
	r.write(b)
	if got, err := readResult(b); err != nil || !reflect.DeepEqual(got, r) {
		t.Errorf("%+v comes back as %+v, %v", r, got, err)
	}
	key := segment.NewKey()
	if k, n, err := readRef(appendRef(nil, key, 1<<40)); k != key || n != 1<<40 || err != nil {
		t.Errorf("the place of a body comes back as %v, %d, %v", k, n, err)
	}
}

func crossed(err error) error {
	var buf bytes.Buffer
	encodeFault(&buf, err)
	return decodeFault(buf.Bytes())
}

func FuzzFrames(f *testing.F) {
	j := jobFrame{flags: flagName | flagMeta, name: []byte("n"), meta: []byte("m"), body: []byte("b")}
	b := make([]byte, j.size())
	j.write(b)
	f.Add(b)
	var buf bytes.Buffer
	encodeFault(&buf, &tristrand.PanicError{Value: "x"})
	f.Add(buf.Bytes())
	f.Fuzz(func(_ *testing.T, data []byte) {
		if _, err := readJob(data); err != nil && !errors.Is(err, errFrame) {
			panic(err)
		}
		if r, err := readResult(data); err == nil {
			_, _, _ = readRef(r.body)
			_ = decodeFault(r.body)
		}
		_ = decodeFault(data).Error()
	})
}
