//go:build linux

package child

import (
	"strings"
	"syscall"
	"testing"
)

func TestExitKinds(t *testing.T) {
	tests := []struct {
		args   string
		kind   Kind
		code   int
		signal syscall.Signal
		crash  string
	}{
		{"exit 0", Exited, 0, 0, ""},
		{"exit 2", Exited, 2, 0, ""},
		{"leave 0", Clean, 0, 0, ""},
		{"leave 3", Clean, 3, 0, ""},
		{"panic", Panicked, 2, 0, "panic: boom"},
		{"nil", Panicked, 2, 0, "panic: runtime error: invalid memory address"},
		{"stack", Fatal, 2, 0, "fatal error: stack overflow"},
		{"maps", Fatal, 2, 0, "fatal error: concurrent map"},
		{"segv", Fatal, 2, 0, "SIGSEGV"},
		{"term", Signalled, -1, syscall.SIGTERM, ""},
	}
	for _, tt := range tests {
		for _, tail := range []int{0, 4096} {
			name := strings.ReplaceAll(tt.args, " ", "_")
			t.Run(name+map[int]string{0: "", 4096: "_with_stderr"}[tail], func(t *testing.T) {
				if raceEnabled && tt.args == "maps" {
					t.Skip("the race detector writes its report in between")
				}
				s := Spec{Tail: tail}
				if tail > 0 {
					s.Forward = func([]byte) {}
				} else {
					s.Stderr = devNull(t)
				}
				e := ended(t, start(t, s, strings.Fields(tt.args)...))
				if e.Kind != tt.kind || e.Code != tt.code || e.Signal != tt.signal || !strings.HasPrefix(e.Crash, tt.crash) || !e.Entered {
					t.Errorf("%v: %+v", e, e)
				}
				if tt.crash == "" && e.Crash != "" {
					t.Errorf("a crash that was none: %q", e.Crash)
				}
				if e.MaxRSSBytes < 1<<20 || e.User+e.System <= 0 {
					t.Errorf("usage: %+v", e)
				}
			})
		}
	}
}
