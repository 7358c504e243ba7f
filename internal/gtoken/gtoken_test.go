package gtoken_test

import (
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/tristrand/tristrand/internal/gtoken"
)

func TestGoroutinesHaveDistinctTokensThatStay(t *testing.T) {
	const n = 100
	var wg sync.WaitGroup
	var mu sync.Mutex
	seen := map[gtoken.Token]int{}
	hold := make(chan struct{})
	for range n {
		wg.Go(func() {
			a := gtoken.Get()
			mu.Lock()
			seen[a]++
			mu.Unlock()
			<-hold // all alive at once
			grow(50)
			if b := gtoken.Get(); a != b {
				t.Errorf("token changed from %#x to %#x within a goroutine", a, b)
			}
		})
	}
	for {
		mu.Lock()
		all := len(seen)
		mu.Unlock()
		if all == n {
			break
		}
		runtime.Gosched()
	}
	close(hold)
	wg.Wait()
	if len(seen) != n || seen[0] != 0 {
		t.Errorf("%d goroutines showed %d tokens (zero %d times)", n, len(seen), seen[0])
	}
}

// grow makes the stack move.
func grow(n int) int {
	var pad [1024]byte
	if n == 0 {
		return int(pad[0])
	}
	return grow(n-1) + int(pad[n%1024])
}

//go:noinline
func callee() uintptr { return gtoken.Caller() }

//go:noinline
func calleeWithFrame(n int) uintptr {
	var pad [200]byte
	pad[n%200] = 1
	pc := gtoken.Caller()
	runtime.KeepAlive(&pad)
	return pc
}

func TestCallerIsTheLineThatCalled(t *testing.T) {
	pcs := []uintptr{callee(), calleeWithFrame(3)}
	func() { pcs = append(pcs, callee()) }()
	_, file, line, _ := runtime.Caller(0)
	for i, want := range []int{line - 2, line - 2, line - 1} {
		f, _ := runtime.CallersFrames(pcs[i : i+1]).Next()
		if f.File != file || f.Line != want || !strings.Contains(f.Function, "TestCallerIsTheLineThatCalled") {
			t.Errorf("pc %d is %s:%d in %s, want %s:%d", i, f.File, f.Line, f.Function, file, want)
		}
	}
}

func BenchmarkGet(b *testing.B) {
	for b.Loop() {
		gtoken.Get()
	}
}

func BenchmarkCaller(b *testing.B) {
	for b.Loop() {
		callee()
	}
}
