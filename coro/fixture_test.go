package coro_test

import (
	"runtime"
	"testing"
	"time"
)

// poll waits until something has come about.
func poll(t testing.TB, what string, cond func() bool) {
	t.Helper()
	for began := time.Now(); !cond(); time.Sleep(time.Millisecond) {
		if time.Since(began) > time.Minute {
			buf := make([]byte, 1<<20)
			t.Fatalf("%s has not come about\n%s", what, buf[:runtime.Stack(buf, true)])
		}
	}
}
