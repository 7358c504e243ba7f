package shm_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/shm"
	"github.com/tristrand/tristrand/strand"
)

// testMain is what TestMain was given.
var testMain *testing.M

// primitiveParts are those of the tests of the primitives.
func primitiveParts() map[string]part {
	return map[string]part{
		"act":     actPart,
		"hand":    handPart,
		"storm":   stormPart,
		"count":   countPart,
		"ordered": orderedPart,
		"history": historyPart,
		"let go":  letGoPart,
		"conform": conformPart,
		"forget":  forgetPart,
	}
}

// A kit is what the processes of a test share.
type kit struct {
	A, B, C *shm.Lock
	R       *shm.RLock
	Sem     *shm.BoundedSemaphore
	Event   *shm.Event
	Cond    *shm.Condition
	Barrier *shm.Barrier
	Memory  *shm.Bytes
	N       int
}

func newKit(t testing.TB) *kit {
	t.Helper()
	k := &kit{
		A: must(shm.NewLock("a")), B: must(shm.NewLock("b")), C: must(shm.NewLock("c")), R: must(shm.NewRLock("r")),
		Sem: must(shm.NewBoundedSemaphore("sem", 2)), Event: must(shm.NewEvent("event")),
		Barrier: must(shm.NewBarrier("barrier", 3)), Memory: must(shm.NewBytes(4096)),
	}
	k.Cond = must(shm.NewCondition("cond", k.R))
	clear(k.Memory.View()) // it has what the last test left
	t.Cleanup(func() {
		for _, c := range []io.Closer{k.A, k.B, k.C, k.Cond, k.R, k.Sem, k.Event, k.Barrier, k.Memory} {
			if err := c.Close(); err != nil {
				t.Error(err)
			}
		}
	})
	return k
}

// do does what a line says: a verb and an object.
func (k *kit) do(ctx context.Context, line string) error {
	verb, object, _ := strings.Cut(line, " ")
	if verb == "die" { // in the middle of something
		die := func() { _ = syscall.Kill(os.Getpid(), syscall.SIGKILL); select {} }
		map[string]func(func()){"a": k.A.Die, "r": k.R.Die, "making": k.A.DieMaking, "sem": k.Sem.Die, "event": k.Event.Die, "barrier": k.Barrier.Die, "first": k.Barrier.DieFirst, "breaking": k.Barrier.DieBreaking}[object](die)
	}
	if verb == "stop" { // in the middle of something, until it is told to go on
		k.stop(map[string]func(func()){"sem": k.Sem.Hold, "barrier": k.Barrier.Hold}[object])
		return nil
	}
	switch object {
	case "event":
		return map[string]func(context.Context) error{"wait": k.Event.Wait, "set": k.Event.Set, "clear": k.Event.Clear}[verb](ctx)
	case "cond":
		if verb == "wait" {
			return k.Cond.Wait(ctx)
		}
		return k.Cond.Notify(ctx, 1)
	case "barrier":
		_, err := k.Barrier.Wait(ctx)
		return err
	case "sem":
		if verb == "acquire" {
			return k.Sem.Acquire(ctx)
		}
		return k.Sem.Release(ctx, 1)
	}
	l := map[string]tristrand.Locker{"a": k.A, "b": k.B, "c": k.C, "r": k.R}[object]
	switch verb { // called here, as the place of the call is looked at
	case "acquire":
		return l.Acquire(ctx)
	case "try":
		return l.TryAcquire(ctx)
	case "shortly":
		short, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
		defer cancel()
		return l.Acquire(short)
	case "recover":
		return l.Recover(ctx)
	default:
		return l.Release(ctx)
	}
}

// Words of the memory that a kit has.
const (
	stoppedWord = iota // how many strands have stopped in the middle
	goOnWord           // 1: they are to go on
)

// stop calls hold, and keeps it in the middle of what it does until goOnWord is set.
func (k *kit) stop(hold func(over func())) {
	hold(func() {
		k.word(stoppedWord).Add(1)
		for k.word(goOnWord).Load() == 0 {
			runtime.Gosched()
		}
	})
}

// actPart does what it is told: "NAME VERB OBJECT" is done by the strand NAME, in
// the order of its lines, and answered by "NAME VERB OBJECT: what came of it".
func actPart(in []byte, lines *bufio.Scanner, out io.Writer) error {
	var k kit
	if err := cbor.Unmarshal(in, &k); err != nil {
		return err
	}
	var mu sync.Mutex
	say := func(line string, err error) {
		mu.Lock()
		defer mu.Unlock()
		fmt.Fprintf(out, "%s: %v\n", line, err)
	}
	say("ready", nil)
	strands := map[string]chan string{}
	for lines.Scan() {
		name, order, _ := strings.Cut(lines.Text(), " ")
		if strands[name] == nil {
			orders := make(chan string, 100)
			strands[name] = orders
			strand.Go(context.Background(), strand.Options{Kind: strand.Thread, Name: name}, func(ctx context.Context) {
				for order := range orders {
					say(name+" "+order, k.do(ctx, order))
				}
			})
		}
		strands[name] <- order
	}
	return nil
}

// An actor is a process that does what it is told.
type actor struct {
	*other
	heard chan string
}

func newActor(t *testing.T, k *kit) *actor {
	t.Helper()
	a := &actor{start(t, "act", k), make(chan string, 1000)}
	go func() {
		defer close(a.heard)
		for a.lines.Scan() {
			a.heard <- a.lines.Text()
		}
	}()
	a.expect("ready: <nil>")
	return a
}

// answer waits for the next answer.
func (a *actor) answer() string {
	a.t.Helper()
	select {
	case line, ok := <-a.heard:
		if !ok {
			a.t.Fatalf("the actor has ended: %s", &a.err)
		}
		return line
	case <-time.After(30 * time.Second):
		a.t.Fatal("the actor does not answer")
		return ""
	}
}

func (a *actor) expect(want string) {
	a.t.Helper()
	if got := a.answer(); got != want {
		a.t.Fatalf("the actor said %q, want %q", got, want)
	}
}

// done has the actor do something that succeeds.
func (a *actor) done(line string) {
	a.t.Helper()
	a.say(line)
	a.expect(line + ": <nil>")
}

// murder kills the actor in its tracks.
func (a *actor) murder() {
	a.t.Helper()
	if err := a.Process.Signal(syscall.SIGKILL); err != nil {
		a.t.Fatal(err)
	}
	a.kill.Do(func() { _ = a.Wait() })
}

// until polls for what must come about.
func until(t testing.TB, what string, cond func() bool) {
	t.Helper()
	for began := time.Now(); !cond(); time.Sleep(100 * time.Microsecond) {
		if time.Since(began) > 30*time.Second {
			t.Fatalf("%s has not come about", what)
		}
	}
}

// adopt makes the test a strand.
func adopt(t *testing.T) context.Context {
	ctx, end := strand.Adopt(t.Context(), "test")
	t.Cleanup(end)
	return ctx
}

func locks(ctx context.Context, t *testing.T, l tristrand.Locker) tristrand.LockState {
	t.Helper()
	st, err := l.State(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return st
}

// is checks that err is one of a kind.
func is(t *testing.T, err, want error, what string) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: %v, want %v", what, err, want)
	}
}

// threads returns how many threads this process has.
func threads(t *testing.T) int {
	t.Helper()
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	return len(tasks)
}
