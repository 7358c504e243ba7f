package cluster_test

import (
	"math"
	"strings"

	"github.com/anishathalye/porcupine"
)

// A hold is the state of the lock: who holds it, and the last token.
type hold struct {
	by    string
	token uint64
}

// lockHistory is a lock whose tokens rise. An acquisition or a release of which nothing is
// known may have happened or not; one who is gone gives up what it holds at some time.
var lockHistory = porcupine.NondeterministicModel{
	Init: func() []any { return []any{hold{}} },
	Step: func(state, in, _ any) []any {
		s, d := state.(hold), in.(deed)
		switch {
		case d.Op == "acquire" && d.Unknown:
			if s.by == "" {
				return []any{s, hold{d.Client, s.token + 1}}
			}
			return []any{s}
		case d.Op == "acquire":
			if s.by != "" || d.Token <= s.token {
				return nil
			}
			return []any{hold{d.Client, d.Token}}
		case s.by == d.Client: // release, or gone
			return []any{hold{"", s.token}}
		case d.Op == "gone", d.Unknown:
			return []any{s}
		default:
			return nil
		}
	},
}

// partings are the ends of those who did not release the lock, and do not know, and of those
// of whom it is not known whether they got an item.
func partings(object string, deeds []deed, clients map[string]int) (ops []porcupine.Operation) {
	last, since := map[string]deed{}, map[string]int64{}
	for _, d := range deeds {
		if d.Object == object && (!d.Done || d.OK || d.Unknown) && d.At >= last[d.Client].At {
			last[d.Client] = d
		}
		if d.Object == object && d.Op != "release" {
			since[d.Client] = max(since[d.Client], d.At+1)
		}
	}
	for name, d := range last {
		holds := object == "lock" || object == "semaphore"
		if holds && d.Op == "acquire" || d.Unknown && object != "value" { // it ended with it
			gone := deed{Object: object, Client: name, Op: "gone", Unknown: true}
			ops = append(ops, porcupine.Operation{ClientId: clients[name], Input: gone, Call: since[name], Output: gone, Return: math.MaxInt64})
		}
	}
	return ops
}

// permits is how many can have the semaphore at once.
const permits = 2

// semaphoreHistory is a semaphore, whose state are the names of those who have it. An
// acquisition or a release of which nothing is known may have happened or not; one who is gone
// gives back what it has at some time.
var semaphoreHistory = porcupine.NondeterministicModel{
	Init: func() []any { return []any{""} },
	Step: func(state, in, _ any) []any {
		s, d := state.(string), in.(deed)
		me := d.Client + ";"
		without, has := strings.CutPrefix(s, me)
		if at := strings.Index(s, ";"+me); !has && at >= 0 {
			without, has = s[:at+1]+s[at+1+len(me):], true
		}
		full := strings.Count(s, ";") >= permits
		switch {
		case d.Op == "acquire" && d.Unknown && !full:
			return []any{s, s + me}
		case d.Op == "acquire" && d.Unknown:
			return []any{s}
		case d.Op == "acquire" && full:
			return nil
		case d.Op == "acquire":
			return []any{s + me}
		case has && d.Unknown && d.Op == "release":
			return []any{s, without}
		case has:
			return []any{without}
		case d.Op == "gone", d.Unknown:
			return []any{s}
		default:
			return nil
		}
	},
}

// valueHistory is a register that begins with 0.
var valueHistory = porcupine.NondeterministicModel{
	Init: func() []any { return []any{0} },
	Step: func(state, in, _ any) []any {
		switch d := in.(deed); {
		case d.Op == "store" && d.Unknown:
			return []any{state, d.V}
		case d.Op == "store":
			return []any{d.V}
		case state.(int) == d.V:
			return []any{state}
		default:
			return nil
		}
	},
}

// A line is the state of the queue: its items, and after the name of each client that is gone
// the one that was handed to it. A string can be compared; an item is eight bytes of it.
type line struct{ items, handed string }

// queueHistory is a queue. What was handed to one who died before he had taken it comes back
// in front; whether he had is not known.
var queueHistory = porcupine.NondeterministicModel{
	Init: func() []any { return []any{line{}} },
	Step: func(state, in, _ any) []any {
		s, d := state.(line), in.(deed)
		switch {
		case d.Op == "gone":
			at := strings.Index(s.handed, d.Client+"=")
			if at < 0 {
				return []any{s}
			}
			from := at + len(d.Client) + 1
			rest := s.handed[:at] + s.handed[from+8:]
			return []any{line{s.items, rest}, line{s.handed[from:from+8] + s.items, rest}}
		case d.Op == "put" && d.Unknown:
			return []any{s, line{s.items + item8(d.V), s.handed}}
		case d.Op == "put":
			return []any{line{s.items + item8(d.V), s.handed}}
		case d.Unknown && len(s.items) < 8:
			return []any{s}
		case d.Unknown:
			return []any{s, line{s.items[8:], s.handed + d.Client + "=" + s.items[:8]}}
		case len(s.items) >= 8 && s.items[:8] == item8(d.V):
			return []any{line{s.items[8:], s.handed}}
		default:
			return nil
		}
	},
}

// item8 is an item as eight bytes.
func item8(v int) string {
	var b [8]byte
	for i := range b {
		b[i] = byte(v >> (8 * i))
	}
	return string(b[:])
}
