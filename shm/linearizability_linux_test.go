package shm_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"github.com/anishathalye/porcupine"
	"github.com/fxamacker/cbor/v2"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/strand"
)

// A call is one call of one strand. Its times are ticks of a clock that all
// processes share.
type call struct {
	Client   int
	Op       string
	From, To int64
	Done     bool
}

// historyPart makes random calls and says what came of them.
func historyPart(in []byte, lines *bufio.Scanner, out io.Writer) error {
	var k kit
	if err := cbor.Unmarshal(in, &k); err != nil {
		return err
	}
	fmt.Fprintln(out, "ready")
	lines.Scan()
	calls, err := history(context.Background(), &k, os.Getpid())
	if err != nil {
		return err
	}
	return json.NewEncoder(out).Encode(calls)
}

// history has two strands use the locks.
func history(ctx context.Context, k *kit, seed int) ([]call, error) {
	clock := (*atomic.Int64)(unsafe.Pointer(&k.Memory.View()[64]))
	var mu sync.Mutex
	var all []call
	errs := make(chan error, 2)
	for i := range 2 {
		client := seed*2 + i
		strand.Go(ctx, strand.Options{Kind: strand.Thread}, func(ctx context.Context) {
			rng := rand.New(rand.NewPCG(uint64(client), uint64(time.Now().UnixNano())))
			depth := 0
			do := func(op string, f func(context.Context) error) error {
				short, cancel := context.WithTimeout(ctx, time.Duration(rng.IntN(300))*time.Microsecond)
				defer cancel()
				from := clock.Add(1)
				err := f(short)
				to := clock.Add(1)
				mu.Lock()
				all = append(all, call{client, op, from, to, err == nil})
				mu.Unlock()
				if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, tristrand.ErrBusy) || errors.Is(err, tristrand.ErrNotHeld) {
					return nil
				}
				if err == nil && op == "release" {
					depth--
				} else if err == nil {
					depth++
				}
				return err
			}
			var err error
			for n := 0; err == nil && n < k.N; n++ {
				switch rng.IntN(5) {
				case 0, 1:
					err = do("acquire", k.R.Acquire)
				case 2:
					err = do("try", k.R.TryAcquire)
				default:
					err = do("release", k.R.Release)
				}
			}
			for err == nil && depth > 0 {
				err = do("release", k.R.Release)
			}
			errs <- err
		})
	}
	err := errors.Join(<-errs, <-errs)
	return all, err
}

// held is the state of a re-entrant lock: who has it, and how deep.
type held struct{ by, depth int }

var rlockModel = porcupine.Model{
	Init: func() any { return held{-1, 0} },
	Step: func(state, input, output any) (bool, any) {
		h, c := state.(held), output.(call)
		mine := h.depth > 0 && h.by == c.Client
		switch {
		case c.Op == "release" && c.Done:
			return mine, held{c.Client, h.depth - 1}
		case c.Op == "release":
			return !mine, h
		case c.Done:
			return mine || h.depth == 0, held{c.Client, h.depth + 1}
		case c.Op == "acquire":
			return true, h // its time was up
		default:
			return !mine, h // it may be free, and promised to another
		}
	},
	Equal: func(a, b any) bool {
		x, y := a.(held), b.(held)
		return x.depth == y.depth && (x.depth == 0 || x.by == y.by)
	},
}

func TestAnRLockOfSeveralProcessesIsLinearizable(t *testing.T) {
	rounds := 15
	if testing.Short() {
		rounds = 4
	}
	for range rounds {
		k := newKit(t)
		k.N = 40
		others := []*other{start(t, "history", k), start(t, "history", k)}
		for _, o := range others {
			o.hear()
		}
		for _, o := range others {
			o.say("go")
		}
		calls, err := history(t.Context(), k, os.Getpid())
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range others {
			var theirs []call
			if err := json.Unmarshal([]byte(o.hear()), &theirs); err != nil {
				t.Fatal(err)
			}
			calls = append(calls, theirs...)
			o.end(false)
		}
		ops := make([]porcupine.Operation, len(calls))
		for i, c := range calls {
			ops[i] = porcupine.Operation{ClientId: c.Client, Input: c.Op, Call: c.From, Output: c, Return: c.To}
		}
		if got := porcupine.CheckOperationsTimeout(rlockModel, ops, time.Minute); got != porcupine.Ok {
			t.Fatalf("a history of %d calls is %v", len(ops), got)
		}
	}
}
