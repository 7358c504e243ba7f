package crew_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/internal/crew"
	"github.com/tristrand/tristrand/strand"
)

type pool struct{}

func (pool) String() string { return "the pool" }

func (pool) Releasers(buf []strand.Releaser) ([]strand.Releaser, bool) { return buf, false }

// Those who wait for room get it in the order in which they came; one that has given
// up is passed over, and its place is not lost.
func TestRoomIsGivenInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		r := crew.Room{Bound: 1}
		queued := 1
		var order []int
		child, cancel := context.WithCancel(t.Context())
		defer cancel()
		for i := range 4 {
			ctx := t.Context()
			if i == 1 {
				ctx = child
			}
			go func() {
				mu.Lock()
				if err := r.Await(ctx, &mu, strand.Current(ctx), pool{}); err != nil {
					if i != 1 || !errors.Is(err, context.Canceled) {
						t.Errorf("%d: %v", i, err)
					}
					return
				}
				order = append(order, i)
				queued++
				mu.Unlock()
			}()
			synctest.Wait()
		}
		cancel()
		for range 2 {
			synctest.Wait()
			mu.Lock()
			queued--
			for r.Wanted(queued) {
				r.Admit(&mu)
			}
			if r.Free(queued) {
				t.Error("there is room for one who comes, besides the one who has it")
			}
			mu.Unlock()
		}
		synctest.Wait()
		mu.Lock()
		waits := r.Shut()
		mu.Unlock()
		crew.Grant(waits)
		synctest.Wait()
		if want := []int{0, 2, 3}; !slices.Equal(order, want) {
			t.Errorf("they came in the order %v, want %v", order, want)
		}
	})
}

// Who closes again waits for the first, under their own ctx, and gets its answer.
func TestOneEndForAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var e crew.Ending
		answer := errors.New("some were left")
		calls := 0
		end := func() error {
			calls++
			time.Sleep(time.Second)
			return answer
		}
		errs := make(chan error, 3)
		for range 3 {
			go func() { errs <- e.Close(t.Context(), &mu, pool{}, end) }()
		}
		synctest.Wait()
		short, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if err := e.Close(short, &mu, pool{}, end); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("with too little time: %v", err)
		}
		for range 3 {
			if err := <-errs; !errors.Is(err, answer) {
				t.Error(err)
			}
		}
		if err := e.Close(short, &mu, pool{}, end); !errors.Is(err, answer) || calls != 1 {
			t.Errorf("afterwards: %v, and it was ended %d times", err, calls)
		}
	})
}

func TestDrain(t *testing.T) {
	never := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
	for name, tt := range map[string]struct {
		grace time.Duration
		left  []string
		took  time.Duration
	}{
		"jobs that do not stop": {0, []string{"a"}, time.Second + crew.DefaultGrace},
		"no grace":              {-1, []string{"a"}, time.Second},
		"all had just ended":    {time.Minute, nil, time.Second + time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				killed, began := false, time.Now()
				d := crew.Drain{Empty: func(ctx context.Context) error {
					if killed {
						return nil
					}
					return never(ctx)
				}, Stop: func(error) []string { return tt.left }, Kill: func() { killed = true }, Grace: tt.grace}
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				err := d.Run(ctx)
				var left *tristrand.CloseError
				if errors.As(err, &left) != (tt.left != nil) || left != nil && fmt.Sprint(left.Left) != fmt.Sprint(tt.left) || !killed {
					t.Errorf("%v, killed: %v", err, killed)
				}
				if took := time.Since(began); took != tt.took {
					t.Errorf("it took %v, want %v", took, tt.took)
				}
			})
		})
	}
}
