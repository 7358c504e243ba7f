package launch

import (
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// LimitsMemory says whether Launcher.MemoryLimitBytes works here.
const LimitsMemory = true

// shell sets limits, of itself and so of what it becomes. (A limit set from here, on a
// child that runs already, would come too late for what it has started meanwhile.)
const shell = "/bin/sh"

// limited makes of a command one whose data is bounded.
func (l *Launcher) limited(c *Command) *Command {
	if l.MemoryLimitBytes <= 0 {
		return c
	}
	words := append([]string{"sh", "-c", `ulimit -d "$0" && exec "$@"`, l.limitKiB()}, l.odd()...)
	if name := c.Args[0]; strings.HasPrefix(name, "-") {
		words = append(words, c.Path)
	} else {
		words = append(words, name)
	}
	own := *c
	own.Path, own.Args = shell, append(words, c.Args[1:]...)
	return &own
}

// limitKiB is the limit in the unit of ulimit, below one that this process has.
func (l *Launcher) limitKiB() string {
	n := uint64(l.MemoryLimitBytes)
	var old unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_DATA, &old) == nil {
		n = min(n, old.Max)
	}
	return strconv.FormatUint(max(n>>10, 1), 10)
}

// odd returns the words that keep those variables which some shells drop, as their
// names are not a shell's.
func (l *Launcher) odd() []string {
	var words []string
	for _, v := range l.env {
		name, _, _ := strings.Cut(v, "=")
		if !isName(name) && name != "" {
			words = append(words, v)
		}
	}
	if words == nil {
		return nil
	}
	return append([]string{"env"}, words...)
}

func isName(s string) bool {
	for i, c := range []byte(s) {
		if c != '_' && (c|0x20 < 'a' || c|0x20 > 'z') && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return true
}
