//go:build linux

package processes_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/process"
	"github.com/tristrand/tristrand/strand"
)

var answer = tristrand.Define("examples.processes.answer", func(ctx context.Context, c *process.Conn[string]) (struct{}, error) {
	for i := range 3 {
		if err := c.Send(ctx, fmt.Sprint("child ", i)); err != nil {
			return struct{}{}, err
		}
	}
	for i := range 3 {
		s, err := c.Recv(ctx)
		if want := fmt.Sprint("parent ", i); s != want || err != nil {
			return struct{}{}, fmt.Errorf("got %q, %w; want %q", s, err, want)
		}
	}
	_, err := c.Recv(ctx) // until the parent has nothing more to say
	if !errors.Is(err, io.EOF) {
		return struct{}{}, fmt.Errorf("at the end: %w", err)
	}
	return struct{}{}, nil
})

// P05: each message once and in order, both ways; one receive too many ends with its
// time; the end of the other side is an error, not a hang.
func TestPipe(t *testing.T) {
	ctx := t.Context()
	here, there, err := process.Pipe[string]()
	if err != nil {
		t.Fatal(err)
	}
	p, err := process.Start(ctx, answer.Bind(there))
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		if err := here.Send(ctx, fmt.Sprint("parent ", i)); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 3 {
		if s, err := here.Recv(ctx); s != fmt.Sprint("child ", i) || err != nil {
			t.Errorf("message %d: %q, %v", i, s, err)
		}
	}
	short, cancel := strand.WithTimeout(ctx, 20*time.Millisecond)
	defer cancel()
	if s, err := here.Recv(short); !errors.Is(err, context.DeadlineExceeded) { // poll(0.02)
		t.Errorf("one receive too many: %q, %v", s, err)
	}
	if err := here.Close(); err != nil {
		t.Error(err)
	}
	join(t, p)
}

// The peer may also be killed.
func TestPipeToTheDead(t *testing.T) {
	ctx := t.Context()
	here, there, err := process.Pipe[string]()
	if err != nil {
		t.Fatal(err)
	}
	p, err := process.Start(ctx, answer.Bind(there))
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if _, err := here.Recv(ctx); err != nil {
			t.Fatal(err)
		}
	}
	p.Kill()
	if _, err := here.Recv(ctx); !errors.Is(err, io.EOF) {
		t.Errorf("from a dead peer: %v", err)
	}
	var exit *process.ExitError
	if err := p.Join(ctx); !errors.As(err, &exit) {
		t.Errorf("the killed process: %v", err)
	}
}
