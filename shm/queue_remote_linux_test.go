package shm_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/fxamacker/cbor/v2"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/conformance"
	"github.com/tristrand/tristrand/shm"
	"github.com/tristrand/tristrand/strand"
)

// A request is an operation on a queue that another process is asked to do.
type request struct {
	ID int
	Op string // "cancel" ends the ctx of an earlier one
	V  int
}

// A reply is what has come of it.
type reply struct {
	ID    int
	V     int
	Err   string // of remoteErrors, or a text
	State tristrand.QueueState
}

var remoteErrors = map[string]error{
	"full": tristrand.ErrFull, "empty": tristrand.ErrEmpty, "shutdown": tristrand.ErrShutdown,
	"overrelease": tristrand.ErrOverRelease, "cancelled": context.Canceled,
}

// servePart does what is asked of it, each in a strand of its own.
func servePart(in []byte, lines *bufio.Scanner, out io.Writer) error {
	var q shm.Queue[int]
	if err := cbor.Unmarshal(in, &q); err != nil {
		return err
	}
	var mu sync.Mutex // guards out and cancels
	cancels := map[int]context.CancelFunc{}
	say := json.NewEncoder(out)
	for lines.Scan() {
		var r request
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			return err
		}
		mu.Lock()
		if r.Op == "cancel" {
			if cancel := cancels[r.ID]; cancel != nil {
				cancel()
			}
			mu.Unlock()
			continue
		}
		ctx, cancel := context.WithCancel(context.Background())
		cancels[r.ID] = cancel
		mu.Unlock()
		strand.Go(ctx, strand.Options{Kind: strand.Thread, Name: fmt.Sprint(r)}, func(ctx context.Context) {
			answer := r.do(ctx, &q)
			mu.Lock()
			defer mu.Unlock()
			cancel()
			delete(cancels, r.ID)
			if err := say.Encode(answer); err != nil {
				fmt.Fprintln(out, err)
			}
		})
	}
	return nil
}

func (r request) do(ctx context.Context, q *shm.Queue[int]) (a reply) {
	var err error
	switch r.Op {
	case "put":
		err = q.Put(ctx, r.V)
	case "tryput":
		err = q.TryPut(ctx, r.V)
	case "get":
		a.V, err = q.Get(ctx)
	case "tryget":
		a.V, err = q.TryGet(ctx)
	case "done":
		err = q.TaskDone(ctx)
	case "join":
		err = q.Join(ctx)
	case "shutdown":
		err = q.Shutdown(ctx, tristrand.Shutdown(r.V))
	case "state":
		a.State, err = q.State(ctx)
	}
	a.ID = r.ID
	if err != nil {
		a.Err = err.Error()
	}
	for name, known := range remoteErrors {
		if errors.Is(err, known) {
			a.Err = name
		}
	}
	return a
}

// A peer is another process that has the queue.
type peer struct {
	*other
	mu      sync.Mutex
	last    int
	waiting map[int]chan reply
}

func newPeer(t testing.TB, q *shm.Queue[int]) *peer {
	p := &peer{other: start(t, "serve", q), waiting: map[int]chan reply{}}
	go func() {
		for p.lines.Scan() {
			var a reply
			if json.Unmarshal(p.lines.Bytes(), &a) != nil {
				continue
			}
			p.mu.Lock()
			p.waiting[a.ID] <- a
			delete(p.waiting, a.ID)
			p.mu.Unlock()
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		for id, answer := range p.waiting {
			answer <- reply{ID: id, Err: "the other process has ended"}
		}
	}()
	// Goroutines that a rule does not wait for may still wait for their answers.
	t.Cleanup(func() {
		until(t, "an answer to everything", func() bool {
			p.mu.Lock()
			defer p.mu.Unlock()
			return len(p.waiting) == 0
		})
	})
	return p
}

// ask has the peer do an operation under ctx.
func (p *peer) ask(ctx context.Context, op string, v int) (reply, error) {
	answer := make(chan reply, 1)
	p.mu.Lock()
	p.last++
	id := p.last
	p.waiting[id] = answer
	err := p.tellLocked(request{id, op, v})
	p.mu.Unlock()
	if err != nil {
		return reply{}, err
	}
	done := ctx.Done()
	for {
		select {
		case a := <-answer:
			switch known, ok := remoteErrors[a.Err]; {
			case a.Err == "":
				return a, nil
			case a.Err == "cancelled":
				return a, strand.Err(ctx)
			case ok:
				return a, fmt.Errorf("%w: in another process", known)
			default:
				return a, errors.New(a.Err)
			}
		case <-done:
			done = nil
			p.mu.Lock()
			_ = p.tellLocked(request{id, "cancel", 0}) // too late if the process has ended
			p.mu.Unlock()
		}
	}
}

func (p *peer) tellLocked(r request) error {
	line, err := json.Marshal(r)
	if err == nil {
		_, err = fmt.Fprintf(p.in, "%s\n", line)
	}
	return err
}

// A scattered queue does each operation in one of three processes.
type scattered struct {
	here  *shm.Queue[int]
	peers []*peer
}

// ask has it done somewhere. A ctx that has ended is for those that could wait.
func (s *scattered) ask(ctx context.Context, op string, v int) (reply, error) {
	switch op {
	case "put", "get", "join":
		if ctx.Err() != nil {
			return reply{}, strand.Err(ctx)
		}
	default:
		ctx = context.WithoutCancel(ctx)
	}
	return s.peers[rand.IntN(len(s.peers))].ask(ctx, op, v)
}

func (s *scattered) here1() bool { return rand.IntN(1+len(s.peers)) == 0 }

func (s *scattered) Put(ctx context.Context, v int) error {
	if s.here1() {
		return s.here.Put(ctx, v)
	}
	_, err := s.ask(ctx, "put", v)
	return err
}

func (s *scattered) TryPut(ctx context.Context, v int) error {
	if s.here1() {
		return s.here.TryPut(ctx, v)
	}
	_, err := s.ask(ctx, "tryput", v)
	return err
}

func (s *scattered) Get(ctx context.Context) (int, error) {
	if s.here1() {
		return s.here.Get(ctx)
	}
	a, err := s.ask(ctx, "get", 0)
	return a.V, err
}

func (s *scattered) TryGet(ctx context.Context) (int, error) {
	if s.here1() {
		return s.here.TryGet(ctx)
	}
	a, err := s.ask(ctx, "tryget", 0)
	return a.V, err
}

func (s *scattered) All(ctx context.Context) iter.Seq2[int, error] {
	if s.here1() {
		return s.here.All(ctx)
	}
	return func(yield func(int, error) bool) {
		for {
			v, err := s.Get(ctx)
			if errors.Is(err, tristrand.ErrShutdown) || !yield(v, err) || err != nil {
				return
			}
		}
	}
}

func (s *scattered) TaskDone(ctx context.Context) error {
	if s.here1() {
		return s.here.TaskDone(ctx)
	}
	_, err := s.ask(ctx, "done", 0)
	return err
}

func (s *scattered) Join(ctx context.Context) error {
	if s.here1() {
		return s.here.Join(ctx)
	}
	_, err := s.ask(ctx, "join", 0)
	return err
}

func (s *scattered) Shutdown(ctx context.Context, how tristrand.Shutdown) error {
	if s.here1() {
		return s.here.Shutdown(ctx, how)
	}
	_, err := s.ask(ctx, "shutdown", int(how))
	return err
}

func (s *scattered) State(ctx context.Context) (tristrand.QueueState, error) {
	if s.here1() {
		return s.here.State(ctx)
	}
	a, err := s.ask(ctx, "state", 0)
	return a.State, err
}

// TestQueueConformanceAcrossProcesses keeps the rules with every operation done in
// any of three processes.
func TestQueueConformanceAcrossProcesses(t *testing.T) {
	conformance.Queue(t, func(_ context.Context, t testing.TB, bound int) tristrand.Queue[int] {
		q := newQueue[int](t, bound)
		return &scattered{q, []*peer{newPeer(t, q), newPeer(t, q)}}
	}, conformance.Options{Worlds: []conformance.World{conformance.RealTime}})
}
