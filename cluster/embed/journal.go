package embed

import (
	"fmt"
	"slices"
	"strings"
	"sync"
)

// A journal is the server's logger. It keeps the last complaints, because a server that
// does not start says why there and nowhere else.
type journal struct {
	mu    sync.Mutex
	lines []string
	died  string

	ill chan struct{} // gets a value when the disk has not taken something
}

// maxLines is how many complaints are kept.
const maxLines = 8

func (j *journal) add(format string, v []any) string {
	line := strings.TrimSpace(fmt.Sprintf(format, v...))
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.lines = append(j.lines, line); len(j.lines) > maxLines {
		j.lines = slices.Delete(j.lines, 0, 1)
	}
	if isFault(line) {
		select {
		case j.ill <- struct{}{}:
		default: // it is known
		}
	}
	return line
}

// recover forgets the fault, for the next server.
func (j *journal) recover() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.died = ""
	select {
	case <-j.ill:
	default:
	}
}

func (j *journal) last() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.lines)
}

func (j *journal) fatal() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.died
}

func (j *journal) Fatalf(format string, v ...any) {
	line := j.add(format, v)
	j.mu.Lock()
	j.died = line
	j.mu.Unlock()
}

func (j *journal) Errorf(format string, v ...any) { j.add(format, v) }
func (j *journal) Warnf(format string, v ...any)  { j.add(format, v) }
func (j *journal) Noticef(string, ...any)         {}
func (j *journal) Debugf(string, ...any)          {}
func (j *journal) Tracef(string, ...any)          {}
