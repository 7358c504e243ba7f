package process_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/process"
)

// A wire is an input with an end of a pipe.
type wire struct {
	Conn *process.Conn[string]
	How  string
	N    int

	Ledger ledger
}

// talk does at its end of a pipe as it is told.
var talk = tristrand.Define("faults.talk", func(ctx context.Context, in wire) (int, error) {
	switch in.How {
	case "answer": // until the other end is closed
		for n := 0; ; n++ {
			s, err := in.Conn.Recv(ctx)
			if errors.Is(err, io.EOF) {
				return n, in.Conn.Close()
			}
			if err != nil {
				return n, err
			}
			if err := in.Conn.Send(ctx, "re: "+s); err != nil {
				return n, err
			}
		}
	case "send":
		for i := range in.N {
			if err := in.Conn.Send(ctx, fmt.Sprint(i)); err != nil {
				return i, err
			}
		}
		return in.N, in.Conn.Close()
	case "hang":
		if err := in.Conn.Send(ctx, pidText()); err != nil {
			return 0, err
		}
		select {}
	case "cut": // a value of which a part is sent
		if err := in.Conn.Send(ctx, pidText()); err != nil {
			return 0, err
		}
		limit := 10 * time.Millisecond
		for err := error(nil); !errors.Is(err, io.ErrClosedPipe); limit *= 2 { // it has to begin within the limit
			short, cancel := context.WithTimeout(ctx, limit)
			err = in.Conn.Send(short, strings.Repeat("x", 1<<20))
			cancel()
		}
		return hangIn(in.Ledger)
	}
	return 0, nil
})

func pipe(t *testing.T) (a, b *process.Conn[string]) {
	t.Helper()
	a, b, err := process.Pipe[string]()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = a.Close(), b.Close() })
	return a, b
}

// Several values each way, each once and in order, to a Process and to a worker of a
// pool; one receive too many waits for its ctx; the end of one is io.EOF for the other.
func TestPipe(t *testing.T) {
	ctx := adopt(t)
	p := open(t, &process.Pool{Workers: 1})
	works(ctx, t, p, 1)
	before := descriptors(self)
	for name, begin := range map[string]func(wire) func() error{
		"worker": func(w wire) func() error {
			f := talk.Submit(ctx, p, w)
			return func() error {
				n, err := f.Result(ctx)
				return errors.Join(err, same(n, 100))
			}
		},
		"process": func(w wire) func() error {
			q := start(ctx, t, talk.Bind(w))
			return func() error { return q.Join(ctx) }
		},
	} {
		t.Run(name, func(t *testing.T) {
			a, b := pipe(t)
			end := begin(wire{Conn: b, How: "answer"})
			if err := b.Send(ctx, "x"); err == nil || !strings.Contains(err.Error(), "sent to another process") {
				t.Errorf("the end that went away gives %v", err)
			}
			for i := range 100 {
				if err := a.Send(ctx, fmt.Sprint(i)); err != nil {
					t.Fatal(err)
				}
			}
			for i := range 100 {
				if s, err := a.Recv(ctx); s != fmt.Sprint("re: ", i) || err != nil {
					t.Fatalf("value %d is %q, %v", i, s, err)
				}
			}
			short, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
			if s, err := a.Recv(short); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("one receive too many gives %q, %v", s, err)
			}
			cancel()
			if err := a.Close(); err != nil {
				t.Error(err)
			}
			if err := end(); err != nil {
				t.Errorf("the other side ends with %v", err)
			}
		})
	}
	until(t, "no descriptor is left", func() bool { return descriptors(self) <= before })
}

func same(got, want int) error {
	if got != want {
		return fmt.Errorf("%d, want %d", got, want)
	}
	return nil
}

// What was sent before the end of the peer arrives, then comes io.EOF.
func TestThePeerOfAPipeIsGone(t *testing.T) {
	ctx := adopt(t)
	p := open(t, &process.Pool{Workers: 1})
	a, b := pipe(t)
	f := talk.Submit(ctx, p, wire{Conn: b, How: "send", N: 100})
	if n, err := f.Result(ctx); n != 100 || err != nil {
		t.Fatal(n, err)
	}
	for i := range 100 {
		if s, err := a.Recv(ctx); s != fmt.Sprint(i) || err != nil {
			t.Fatalf("value %d is %q, %v", i, s, err)
		}
	}
	for range 2 {
		if s, err := a.Recv(ctx); !errors.Is(err, io.EOF) {
			t.Errorf("after the last comes %q, %v", s, err)
		}
	}
	if err := a.Send(ctx, "x"); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("sending to nobody gives %v", err)
	}
	if err := errors.Join(a.Close(), a.Close()); err != nil {
		t.Error(err)
	}
	if _, err := a.Recv(ctx); err == nil {
		t.Error("a closed end receives")
	}
}

// A peer that is killed is one that is gone, also in the middle of a value.
func TestThePeerOfAPipeIsKilled(t *testing.T) {
	ctx := adopt(t)
	p := open(t, &process.Pool{Workers: 2})
	for how, want := range map[string]error{"hang": io.EOF, "cut": io.ErrUnexpectedEOF} {
		for _, pooled := range []bool{true, false} {
			a, b := pipe(t)
			l := newLedger(t)
			var end func() error
			if pooled {
				f := talk.Submit(ctx, p, wire{Conn: b, How: how, Ledger: l})
				end = func() error {
					_, err := f.Result(ctx)
					return err
				}
			} else {
				end = func() error { return start(ctx, t, talk.Bind(wire{Conn: b, How: how, Ledger: l})).Join(ctx) }
			}
			ended := make(chan error, 1)
			go func() { ended <- end() }()
			s, err := a.Recv(ctx)
			if err != nil {
				t.Fatal(err)
			}
			if how == "cut" {
				hung(t, l)
			}
			sigkill(atoi(s))
			if _, err := a.Recv(ctx); !errors.Is(err, want) {
				t.Errorf("%s: after the kill Recv gives %v, want %v", how, err, want)
			}
			if e := exitOf(t, <-ended); e.Signal != syscall.SIGKILL {
				t.Errorf("%s: it ended with %v", how, e)
			}
		}
	}
	works(ctx, t, p, 2)
}

// A Send that its ctx ends in the middle of a value says so to every later one.
func TestASendIsCut(t *testing.T) {
	ctx := adopt(t)
	a, b := pipe(t)
	begun, cancel := context.WithCancel(ctx)
	defer cancel()
	sent := make(chan error, 1)
	go func() { sent <- a.Send(begun, strings.Repeat("x", 8<<20)) }()
	until(t, "the value begins to arrive", func() bool {
		n, err := b.Waiting()
		if err != nil {
			t.Fatal(err)
		}
		return n > 0
	})
	cancel()
	if err := <-sent; !errors.Is(err, context.Canceled) {
		t.Fatalf("a Send that is too large for the pipe gives %v", err)
	}
	if err := a.Send(ctx, "y"); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("the next gives %v", err)
	}
	if err := b.Send(ctx, "z"); err != nil { // the other way is untouched
		t.Error(err)
	}
	if s, err := a.Recv(ctx); s != "z" || err != nil {
		t.Errorf("it receives %q, %v", s, err)
	}
	if err := a.Close(); err != nil {
		t.Error(err)
	}
	if s, err := b.Recv(ctx); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("the other end receives %d bytes, %v", len(s), err)
	}
}

// Many send and many receive at one end each, and no value is lost or torn.
func TestManyUseAPipe(t *testing.T) {
	ctx := adopt(t)
	a, b := pipe(t)
	const senders, each = 8, 200
	var sending, receiving sync.WaitGroup
	for i := range senders {
		sending.Go(func() {
			for j := range each {
				if err := a.Send(ctx, fmt.Sprintf("%d %d %s", i, j, strings.Repeat("x", j*10))); err != nil {
					t.Error(err)
				}
			}
		})
	}
	var mu sync.Mutex
	seen := make(map[string]int)
	for range 4 {
		receiving.Go(func() {
			for {
				s, err := b.Recv(ctx)
				if errors.Is(err, io.EOF) {
					return
				}
				var i, j int
				if _, scan := fmt.Sscan(s, &i, &j); err != nil || scan != nil || strings.Count(s, "x") != j*10 {
					t.Errorf("%.20q, %v", s, err)
					return
				}
				mu.Lock()
				seen[fmt.Sprint(i, j)]++
				mu.Unlock()
			}
		})
	}
	sending.Wait()
	if err := a.Close(); err != nil {
		t.Error(err)
	}
	receiving.Wait()
	if len(seen) != senders*each {
		t.Errorf("%d values have come, of %d", len(seen), senders*each)
	}
}

// An end that is closed with something unread is closed all the same.
func TestAnEndThatLeavesSomethingUnread(t *testing.T) {
	ctx := adopt(t)
	a, b, err := process.Pipe[int]()
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	if err := errors.Join(a.Send(ctx, 1), b.Send(ctx, 2), b.Close()); err != nil {
		t.Fatal(err)
	}
	if n, err := a.Recv(ctx); n != 2 || err != nil {
		t.Errorf("Recv: %d, %v", n, err)
	}
	for range 2 {
		if _, err := a.Recv(ctx); !errors.Is(err, io.EOF) {
			t.Errorf("Recv: %v, want io.EOF", err)
		}
	}
}
