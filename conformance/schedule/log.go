package schedule

import (
	"fmt"
	"hash/fnv"
	"io"
	"strings"

	"github.com/tristrand/tristrand/strand"
)

// maxKept is how many operations a log keeps for printing; it hashes all.
const maxKept = 10_000

// A log is what the strands of a search did.
type log struct {
	hash interface {
		io.Writer
		Sum64() uint64
	}
	objects map[strand.Resource]int // in order of appearance, from 1
	tried   map[strand.Resource]bool
	kept    []entry
	more    int // not kept
}

type entry struct {
	strand string
	verb   string
	on     strand.Resource
	object int
}

func newLog() *log {
	return &log{hash: fnv.New64a(), objects: map[strand.Resource]int{}, tried: map[strand.Resource]bool{}}
}

// leaves are the operations that give something to others and take nothing.
var leaves = map[string]bool{"release": true, "set": true}

// point reports whether the turn may be handed over before op.
func (l *log) point(op strand.Op) bool {
	if op.On == nil {
		return true
	}
	if strings.HasPrefix(op.Verb, "try") {
		l.tried[op.On] = true
	}
	return !leaves[op.Verb] || l.tried[op.On]
}

func (l *log) add(t *turn, op strand.Op) {
	object := 0
	if op.On != nil {
		object = l.objects[op.On]
		if object == 0 {
			object = len(l.objects) + 1
			l.objects[op.On] = object
		}
	}
	fmt.Fprintf(l.hash, "%d %s %d\n", t.number, op.Verb, object)
	if len(l.kept) < maxKept {
		l.kept = append(l.kept, entry{t.s.Name(), op.Verb, op.On, object})
	} else {
		l.more++
	}
}

// String prints a line for each operation.
func (l *log) String() string {
	wide := 0
	for _, e := range l.kept {
		wide = max(wide, len(e.strand))
	}
	var b strings.Builder
	for _, e := range l.kept {
		fmt.Fprintf(&b, "%-*s  %s", wide, e.strand, e.verb)
		if e.on != nil {
			fmt.Fprintf(&b, " %s", kind(e.on))
			fmt.Fprintf(&b, " #%d", e.object)
		}
		b.WriteByte('\n')
	}
	if l.more > 0 {
		fmt.Fprintf(&b, "… and %d more\n", l.more)
	}
	return b.String()
}

// kind returns the type's name: an address in the resource's own name would be
// different in every run.
func kind(r strand.Resource) string {
	name := fmt.Sprintf("%T", r)
	return strings.ToLower(name[strings.LastIndexByte(name, '.')+1:])
}
