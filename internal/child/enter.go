package child

import (
	"fmt"
	"os"
	"runtime/debug"
	"strings"
	"sync"
)

// Enter makes a child of this process if Start has started it, and must come
// first in main. In a child, ok is true and files are those of its [Spec], set
// not to block and not to be inherited; standard input, output and error are in
// place. A guardian (see the package's comment) does its work in Enter and never
// returns from it. In any other process Enter notes that the program knows how
// to be a child, which Start demands, and returns false. It costs some 50 µs in
// a child, 1 µs elsewhere. Later calls return the same.
//
// In a child it also: bounds a goroutine's stack by 64 MiB, so that endless
// recursion ends in a moment; sets the memory limit; has the runtime write the
// reason of a crash to the parent; and gives os.Args[0] the parent's value.
func Enter() (files []*os.File, ok bool) {
	r := entered()
	return r.files, r.ok
}

type entrance struct {
	files  []*os.File
	ok     bool
	report *os.File
}

var entered = sync.OnceValue(func() entrance {
	calledEnter.Store(true)
	started.note()
	text, found := os.LookupEnv(envKey)
	if !found {
		return entrance{}
	}
	_ = os.Unsetenv(envKey) // what this process starts is not Start's
	r, ok := parseRole(text)
	// Only what Start has started has such a name; without it the variable came
	// down from a process that did not call Enter.
	if !ok || !strings.HasPrefix(os.Args[0], namePrefix) {
		return entrance{}
	}
	if r.mode == modeGuardian {
		guard(r.files, r.strays) // also if the parent is dead by now: then above all
		os.Exit(0)
	}
	if r.parent != parentPID() {
		fmt.Fprintf(os.Stderr, "%s: the process that started this one is gone\n", os.Args[0])
		os.Exit(1)
	}
	os.Args[0] = r.program
	return r.enter()
})

const maxStackBytes = 64 << 20

func (r role) enter() (e entrance) {
	e.ok = true
	closeStrays(r.strays, r.report+1)
	for i, fd := range r.files {
		e.files = append(e.files, inherit(fd, fmt.Sprintf("child file %d", i)))
	}
	e.report = inheritReport(r.report)
	_, _ = e.report.Write([]byte{reportEntered})
	if err := debug.SetCrashOutput(e.report, debug.CrashOptions{}); err != nil {
		fmt.Fprintf(os.Stderr, "%s: crashes will be reported without their reason: %v\n", os.Args[0], err)
	}
	neverBlock(e.report)
	debug.SetMaxStack(maxStackBytes)
	if r.memory > 0 {
		debug.SetMemoryLimit(r.memory / 10 * 9)
		if err := limitData(r.memory); err != nil {
			fmt.Fprintf(os.Stderr, "%s: the memory limit is not set: %v\n", os.Args[0], err)
		}
	}
	nameProcess()
	return e
}

// Leave tells the parent that this process ends because it means to, so that
// what follows is a Clean exit: os.Exit called by a stranger is told from it.
// Call it last. It does nothing outside a child.
func Leave() {
	if e := entered(); e.report != nil {
		_, _ = e.report.Write([]byte{reportLeft})
	}
}
