//go:build linux

package futex_test

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/tristrand/tristrand/internal/futex"
)

func TestWakeEndsAWait(t *testing.T) {
	var word uint32
	var woken atomic.Bool
	done := make(chan struct{})
	go func() {
		defer close(done)
		for !woken.Load() {
			futex.Wait(&word, 0, 0)
		}
	}()
	for { // until it sleeps
		woken.Store(true)
		atomic.StoreUint32(&word, 1)
		futex.Wake(&word, 1)
		select {
		case <-done:
			return
		case <-time.After(time.Millisecond):
		}
	}
}

func TestWaitReturnsAtOnceWhenTheWordHasChanged(t *testing.T) {
	word := uint32(1)
	futex.Wait(&word, 0, 0) // would hang
}

func TestWaitEndsWhenItsTimeIsUp(t *testing.T) {
	var word uint32
	began := time.Now()
	for time.Since(began) < 5*time.Millisecond { // a signal may end it early
		futex.Wait(&word, 0, 5*time.Millisecond)
	}
	if n := futex.Wake(&word, 1); n != 0 {
		t.Errorf("Wake woke %d, and nobody waits", n)
	}
}
