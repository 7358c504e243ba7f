package process

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
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

type ownError struct{ Code int }

func (e *ownError) Error() string { return fmt.Sprint("own ", e.Code) }

type badError struct{}

func (badError) Error() string { panic("no") }

func crossed(err error) error {
	var buf bytes.Buffer
	encodeFault(&buf, err)
	return decodeFault(buf.Bytes())
}

func TestErrorsCross(t *testing.T) {
	for _, tt := range []struct {
		err  error
		is   []error
		not  []error
		text string
	}{
		{errors.New("plain"), nil, []error{context.Canceled, tristrand.ErrBusy}, "plain"},
		{fmt.Errorf("open it: %w", &fs.PathError{Op: "open", Path: "x", Err: fs.ErrNotExist}), []error{fs.ErrNotExist}, []error{fs.ErrExist}, "open it: open x: file does not exist"},
		{tristrand.ErrCancelled, []error{tristrand.ErrCancelled, context.Canceled}, []error{tristrand.ErrTimeout}, tristrand.ErrCancelled.Error()},
		{errors.Join(tristrand.ErrFull, context.DeadlineExceeded), []error{tristrand.ErrFull, context.DeadlineExceeded}, nil, ""},
		{&ownError{3}, nil, nil, "own 3"},
		{badError{}, nil, nil, "process.badError, whose methods panic: no"},
	} {
		got := crossed(tt.err)
		for _, is := range tt.is {
			if !errors.Is(got, is) {
				t.Errorf("%v comes as %v, which is no %v", tt.err, got, is)
			}
		}
		for _, not := range tt.not {
			if errors.Is(got, not) {
				t.Errorf("%v comes as %v, which is %v", tt.err, got, not)
			}
		}
		if tt.text != "" && got.Error() != tt.text {
			t.Errorf("it comes with the text %q, want %q", got, tt.text)
		}
	}
	var r *RemoteError
	if !errors.As(crossed(&ownError{3}), &r) || r.Type != "*process.ownError" {
		t.Errorf("the type comes as %+v", r)
	}
	if err := crossed(tristrand.Permanent(errors.New("no"))); !tristrand.IsPermanent(err) {
		t.Errorf("a permanent error comes as %v", err)
	}
	var p *tristrand.PanicError
	if err := crossed(&tristrand.PanicError{Value: fs.ErrExist, Stack: []byte("stack"), Task: "t"}); !errors.As(err, &p) ||
		!errors.Is(err, fs.ErrExist) || string(p.Stack) != "stack" || p.Task != "t" {
		t.Errorf("a panic comes as %v", err)
	}
	if err := crossed(fmt.Errorf("outer: %w", &ExitError{Name: "x", Code: 3})); !errors.As(err, new(*ExitError)) {
		t.Errorf("an ExitError comes as %v", err)
	}
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
