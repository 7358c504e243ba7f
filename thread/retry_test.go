package thread_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/strand"
	"github.com/tristrand/tristrand/thread"
)

// TestMainWaitsForTriesToCome has a job wait for its next try when the pool has no
// worker left.
func TestMainWaitsForTriesToCome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pool := &thread.Pool{Workers: 1, IdleTimeout: time.Second}
		tries := 0
		var f *tristrand.Future[int]
		err := thread.Main(func(ctx context.Context) error {
			f = tristrand.Go(ctx, pool, func(context.Context) (int, error) {
				if tries++; tries == 1 {
					return 0, errOwn
				}
				return tries, nil
			}, tristrand.Retries(1), tristrand.Backoff(time.Hour, time.Hour))
			return strand.Sleep(ctx, time.Minute) // the worker has been let go by then
		})
		if v, rerr := f.TryResult(); err != nil || rerr != nil || v != 2 {
			t.Errorf("Main returns %v; the job that was to be tried again is %v, %v", err, v, rerr)
		}
	})
}
