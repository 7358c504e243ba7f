package fault_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/internal/fault"
	"github.com/tristrand/tristrand/internal/wire"
)

type ownError struct{ Code int }

func (e *ownError) Error() string { return fmt.Sprint("own ", e.Code) }

type badError struct{}

func (badError) Error() string { panic("no") }

type exitError struct{ Code int }

func (e *exitError) Error() string { return fmt.Sprint("exit ", e.Code) }

var errOurs = errors.New("ours")

func crossed(t *testing.T, err error) error {
	t.Helper()
	c := fault.Codec[*exitError]{Known: []error{errOurs}, MaxText: 100, MaxValue: 50, MaxStack: 10}
	var buf bytes.Buffer
	if err := wire.Encode(&buf, c.Of(err)); err != nil {
		t.Fatal(err)
	}
	var f fault.Fault[*exitError]
	if err := wire.Decode(buf.Bytes(), &f); err != nil {
		t.Fatal(err)
	}
	return c.Err(&f, "a worker")
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
		{fmt.Errorf("so: %w", errOurs), []error{errOurs}, []error{tristrand.ErrBusy}, "so: ours"},
		{errors.New(strings.Repeat("x", 101)), nil, nil, strings.Repeat("x", 100) + "… (101 bytes in all)"},
		{badError{}, nil, nil, "fault_test.badError, whose methods panic: no"},
	} {
		got := crossed(t, tt.err)
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
	var r *tristrand.RemoteError
	if !errors.As(crossed(t, &ownError{3}), &r) || r.Type != "*fault_test.ownError" || r.Worker != "a worker" {
		t.Errorf("the type comes as %+v", r)
	}
	if err := crossed(t, tristrand.Permanent(errors.New("no"))); !tristrand.IsPermanent(err) {
		t.Errorf("a permanent error comes as %v", err)
	}
	var p *tristrand.PanicError
	if err := crossed(t, &tristrand.PanicError{Value: fs.ErrExist, Stack: []byte("stack"), Task: "t"}); !errors.As(err, &p) ||
		!errors.Is(err, fs.ErrExist) || string(p.Stack) != "stack" || p.Task != "t" {
		t.Errorf("a panic comes as %v", err)
	}
	if err := crossed(t, fmt.Errorf("outer: %w", &exitError{3})); !errors.As(err, new(*exitError)) {
		t.Errorf("an error that says how a process ended comes as %v", err)
	}
}

// What a peer sends is not to be trusted.
func TestFaultsThatLie(t *testing.T) {
	var c fault.Codec[*exitError]
	for _, f := range []*fault.Fault[*exitError]{
		{}, {Is: []int{-1, 1 << 40}}, {Panic: new(fault.Panic[*exitError])},
		{Panic: &fault.Panic[*exitError]{Error: new(fault.Fault[*exitError])}, Text: "x"},
	} {
		if err := c.Err(f, ""); err == nil || errors.Is(err, tristrand.ErrBusy) {
			t.Errorf("%+v is %v", f, err)
		}
	}
}
