//go:build linux

package child

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"sync"
	"testing"
	"time"
)

// bareStart and ourStart start the same binary, and return the time to its first
// byte when it has ended and is reaped.

func bareStart(tb testing.TB) time.Duration {
	began := time.Now()
	r, w, err := os.Pipe()
	if err != nil {
		tb.Fatal(err)
	}
	defer r.Close()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), "CHILD_TEST_BARE=1")
	cmd.Stdout = w
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	w.Close()
	io.ReadFull(r, make([]byte, 1))
	first := time.Since(began)
	cmd.Wait()
	return first
}

func ourStart(tb testing.TB) time.Duration {
	began := time.Now()
	r, w, err := os.Pipe()
	if err != nil {
		tb.Fatal(err)
	}
	defer r.Close()
	c, err := Start(tb.Context(), Spec{Args: []string{"byte"}, Stdout: w})
	if err != nil {
		tb.Fatal(err)
	}
	w.Close()
	io.ReadFull(r, make([]byte, 1))
	first := time.Since(began)
	<-c.Done()
	return first
}

// BenchmarkStart compares with a bare exec of the same binary, in turns, since
// the machine's speed changes: first-x is the time to the first byte (medians),
// whole-x that of starts and ends one after another, by n goroutines.
func BenchmarkStart(b *testing.B) {
	for _, n := range []int{1, 2, 4} {
		b.Run(fmt.Sprintf("n=%d", n), func(b *testing.B) {
			var firsts [2][]time.Duration
			var whole [2]time.Duration
			rounds := 0
			for b.Loop() {
				for i, start := range []func(testing.TB) time.Duration{bareStart, ourStart} {
					began := time.Now()
					got := make([][]time.Duration, n)
					var all sync.WaitGroup
					for g := range n {
						all.Go(func() {
							for range 10 {
								got[g] = append(got[g], start(b))
							}
						})
					}
					all.Wait()
					whole[i] += time.Since(began)
					firsts[i] = append(firsts[i], slices.Concat(got...)...)
				}
				rounds++
			}
			slices.Sort(firsts[0])
			slices.Sort(firsts[1])
			bare, ours := firsts[0][len(firsts[0])/2], firsts[1][len(firsts[1])/2]
			b.ReportMetric(float64(bare.Microseconds()), "bare-first-µs")
			b.ReportMetric(float64(ours)/float64(bare), "first-x")
			b.ReportMetric(float64(whole[0].Microseconds())/float64(10*n*rounds), "bare-whole-µs")
			b.ReportMetric(float64(whole[1])/float64(whole[0]), "whole-x")
		})
	}
}
