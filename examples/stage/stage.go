// Package stage plays an example's program in virtual time and compares what it
// printed, line by line and second by second, with what it should have printed.
//
// [Play] runs the program as its main thread in a bubble of testing/synctest:
// the clock stands while anybody runs and jumps to the next alarm when all
// wait, so sleeps keep their length and cost nothing, and every time in the
// transcript is exact. What happens at one and the same instant has no order;
// the transcript shows it sorted.
package stage

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tristrand/tristrand/thread"
)

// A Screen is what the threads of a program print on.
type Screen struct {
	began time.Time

	mu    sync.Mutex
	lines []line
}

type line struct {
	at   time.Duration
	text string
}

// Print prints its operands with spaces between them, as a line.
func (s *Screen) Print(a ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lines = append(s.lines, line{time.Since(s.began), strings.TrimSuffix(fmt.Sprintln(a...), "\n")})
}

// Lines returns what was printed so far, each line with its time before it.
func (s *Screen) Lines() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	sorted := slices.Clone(s.lines)
	slices.SortFunc(sorted, func(a, b line) int {
		return cmp.Or(cmp.Compare(a.at, b.at), strings.Compare(a.text, b.text))
	})
	lines := make([]string, len(sorted))
	for i, l := range sorted {
		lines[i] = fmt.Sprintf("%v %s", l.at, l.text)
	}
	return lines
}

// Play runs main as thread.Main does, in virtual time, and fails the test when
// what was printed is not want. The last line of the transcript tells when the
// program ended: after its last thread that is not a daemon.
func Play(t *testing.T, main func(ctx context.Context, out *Screen) error, want string) {
	t.Helper()
	var out *Screen
	synctest.Test(t, func(t *testing.T) {
		out = &Screen{began: time.Now()}
		err := thread.Main(func(ctx context.Context) error { return main(ctx, out) })
		if err != nil {
			out.Print("error:", err)
		}
		// It sorts behind what was printed at the same instant.
		out.Print("~ the program ends")
	})
	got := strings.Join(out.Lines(), "\n")
	if want = strings.ReplaceAll(strings.TrimSpace(want), "\t", ""); got != want {
		t.Errorf("printed:\n%s\n\nwant:\n%s", got, want)
	}
}
