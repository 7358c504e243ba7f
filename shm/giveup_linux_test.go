package shm_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/tristrand/tristrand/shm"
	"github.com/tristrand/tristrand/thread"
)

// A waiter that gives up at the moment at which the lock is handed over to it
// either holds the lock or has left it to others.
func TestGivingUpWhenTheLockIsHandedOver(t *testing.T) {
	rounds := 3000
	if testing.Short() {
		rounds = 30
	}
	l := must(shm.NewLock(""))
	defer l.Close()
	var all []*thread.Thread
	for i := range 32 {
		all = append(all, thread.Start(t.Context(), fmt.Sprint("strand ", i), func(ctx context.Context) error {
			for range rounds {
				short, cancel := context.WithTimeout(ctx, 1100*time.Microsecond+time.Duration(rand.IntN(300))*time.Microsecond)
				err := l.Acquire(short)
				cancel()
				if err == nil {
					for begin := time.Now(); time.Since(begin) < 10*time.Microsecond; {
					}
					err = l.Release(ctx)
				}
				if err != nil && !errors.Is(err, context.DeadlineExceeded) {
					return err
				}
			}
			return nil
		}))
	}
	for _, th := range all {
		if err := th.Join(t.Context()); err != nil {
			t.Error(err)
		}
	}
}
