package child

import (
	"bytes"
	"fmt"
	"strings"
	"syscall"
	"time"
)

// Kind is what ended a child.
type Kind int

// The kinds of ends. All crashes of a Go program end with status 2, so they are
// told apart by what the runtime wrote, not by the status.
const (
	Unknown     Kind = iota // the status was taken by somebody else's wait, or the system did not tell
	Clean                   // it left after Leave: Code says how
	Exited                  // os.Exit, or main returned, without Leave
	Panicked                // a panic that nobody recovered
	Fatal                   // a fatal error of the runtime: concurrent map writes, stack overflow, all asleep, SIGSEGV outside Go, SIGQUIT …
	Signalled               // a signal that this process did not send
	Killed                  // a signal that this process sent
	OutOfMemory             // above its limit, or killed by the kernel for lack of memory
)

func (k Kind) String() string {
	names := [...]string{"unknown", "clean exit", "exit", "panic", "fatal runtime error", "signal", "killed", "out of memory"}
	if k < 0 || int(k) >= len(names) {
		return fmt.Sprintf("child.Kind(%d)", int(k))
	}
	return names[k]
}

// Exit says what ended a child.
type Exit struct {
	PID     int
	Kind    Kind
	Code    int            // the exit status, -1 if there is none
	Signal  syscall.Signal // the signal that ended it, 0 if none did
	Core    bool           // a core was dumped
	Entered bool           // it came as far as Enter
	Crash   string         // what the runtime said when it crashed: at most 32 KiB from the beginning, the first line is the reason
	Stderr  []byte         // the last Spec.Tail bytes of stderr

	User, System time.Duration // processor time, of the child and the children it waited for
	MaxRSSBytes  int64         // the most memory that was resident, 0 where it is unknown
}

// Reason returns the first line of Crash.
func (e Exit) Reason() string {
	line, _, _ := strings.Cut(e.Crash, "\n")
	return line
}

func (e Exit) String() string {
	text := fmt.Sprintf("process %d: ", e.PID)
	switch {
	case e.Signal != 0:
		text += fmt.Sprintf("%v: signal %d (%v)", e.Kind, int(e.Signal), e.Signal)
	case e.Crash != "":
		text += fmt.Sprintf("%v: exit status %d: %s", e.Kind, e.Code, e.Reason())
	case e.Kind == Unknown:
		text += "ended, how is not known"
	default:
		text += fmt.Sprintf("%v: status %d", e.Kind, e.Code)
	}
	if e.Core {
		text += " (core dumped)"
	}
	return text
}

// What the child writes to its report pipe: entered, then left if it means to
// leave, then, if it crashes, what the runtime says.
const (
	reportEntered = 1
	reportLeft    = 2
)

// judge completes an Exit that has the status and Stderr with what the report
// says. sent says whether this process sent a signal, oom asks whether the
// kernel has just killed for lack of memory.
func (e *Exit) judge(report []byte, sent func(syscall.Signal) bool, oom func() bool) {
	var left bool
	if len(report) > 0 && report[0] == reportEntered {
		e.Entered, report = true, report[1:]
	}
	if len(report) > 0 && report[0] == reportLeft {
		left, report = true, report[1:]
	}
	e.Crash = crashText(string(report), e.Stderr)
	switch {
	case e.Crash != "" && (e.Kind == Unknown || e.Code != 0):
		e.Kind = crashKind(e.Crash)
	case e.Kind == Unknown && e.Signal == 0 && e.Code < 0: // nothing is known
	case e.Signal != 0 && sent(e.Signal):
		e.Kind = Killed
	case e.Signal == syscall.SIGKILL && oom():
		e.Kind = OutOfMemory
	case e.Signal != 0:
		e.Kind = Signalled
	case left:
		e.Kind = Clean
	default:
		e.Kind = Exited
	}
}

// crashText puts the reason before what the runtime wrote. Of fatal errors it
// writes the reason to stderr only, before it counts itself as crashing.
func crashText(report string, stderr []byte) string {
	if report == "" || hasReason(report) {
		return report
	}
	if reason := lastReason(stderr); reason != "" {
		return reason + "\n" + strings.TrimLeft(report, "\n")
	}
	for _, known := range fatalFrames {
		if strings.Contains(report, known.frame) {
			return known.reason + "\n" + strings.TrimLeft(report, "\n")
		}
	}
	return "fatal error\n" + strings.TrimLeft(report, "\n")
}

// fatalFrames are frames by which a stack without its reason is recognised; a
// guess, for when stderr was not kept. The first that fits counts.
var fatalFrames = []struct{ frame, reason string }{
	{"runtime.newstack(", "fatal error: stack overflow"},
	{"runtime.(*mheap).grow(", "fatal error: runtime: out of memory"},
	{"runtime.sysMap", "fatal error: runtime: out of memory"},
	{"runtime.persistentalloc", "fatal error: runtime: out of memory"},
	{"runtime.stkbucket(", "fatal error: runtime: out of memory"},
	{"runtime/maps.fatal(", "fatal error: concurrent map access"},
	{"[signal SIG", "fatal error: fault"},
}

var reasons = []string{"panic: ", "fatal error: ", "SIG", "runtime: out of memory", "runtime: cannot allocate"}

func hasReason(text string) bool {
	for _, reason := range reasons {
		if strings.HasPrefix(text, reason) {
			return true
		}
	}
	return false
}

// lastReason finds the last line of stderr that gives a reason.
func lastReason(stderr []byte) string {
	found := ""
	for line := range bytes.Lines(stderr) {
		if text := string(bytes.TrimRight(line, "\r\n")); hasReason(text) && !strings.HasPrefix(text, "SIG") {
			found = text
		}
	}
	return found
}

func crashKind(text string) Kind {
	reason, _, _ := strings.Cut(text, "\n")
	switch {
	case strings.Contains(reason, "out of memory"), strings.Contains(reason, "cannot allocate"),
		strings.HasPrefix(reason, "fatal error: ") && strings.Contains(reason, "cannot map pages"):
		return OutOfMemory
	case strings.HasPrefix(reason, "panic: "):
		return Panicked
	}
	return Fatal
}

// blameLimit looks again at the end of a child whose memory was limited. When the
// system refuses the runtime memory for itself, it does not always say so: parts of
// the collector take the nil that they got, and end by SIGSEGV; and where C starts the
// threads, that aborts for lack of a stack. A signal that was sent can find the runtime
// anywhere, and a nil of the program's own is a panic.
func (e *Exit) blameLimit() {
	took := strings.HasPrefix(e.Crash, "SIGSEGV") && faultedAtNil(e.Crash) && faultedIn(e.Crash, "runtime.")
	threadless := strings.HasPrefix(e.Crash, "SIGABRT") && bytes.Contains(e.Stderr, []byte("runtime/cgo: pthread_create failed: "))
	if e.Kind == Fatal && (took || threadless) {
		e.Kind = OutOfMemory
		e.Crash = "fatal error: runtime: out of memory, as it seems: it failed by itself, under a limit\n" + e.Crash
	}
}

// faultedAtNil reports whether a crash by SIGSEGV comes from the processor, not from
// somebody who sent the signal, and at an address that a field behind a nil has.
func faultedAtNil(crash string) bool {
	const notMapped, fields = 1, 1 << 16
	_, rest, _ := strings.Cut(crash, "\nPC=")
	line, _, _ := strings.Cut(rest, "\n")
	var m, code int
	var pc, addr uint64
	_, err := fmt.Sscanf(line, "0x%x m=%d sigcode=%d addr=0x%x", &pc, &m, &code, &addr)
	return err == nil && code == notMapped && addr < fields
}

// faultedIn reports whether the first frame of the stack of a crash, that of the
// scheduler's goroutine, is one of a package.
func faultedIn(crash, pkg string) bool {
	_, stack, ok := strings.Cut(crash, "\ngoroutine 0 ")
	_, frame, _ := strings.Cut(stack, "\n")
	return ok && strings.HasPrefix(frame, pkg)
}
