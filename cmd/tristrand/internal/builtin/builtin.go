// Package builtin holds the tasks that the command brings along: fetch, hash,
// prime and exec. Each takes one line of text and gives back an [Outcome], so
// that any of them can run for every line of input on any engine.
//
// They are ordinary defined tasks. Each honours its ctx while it works: fetch
// and exec by ending the transfer or the child, hash between blocks, prime at a
// check-in every few hundred microseconds. On a coroutine fetch and exec wait in
// coro.Await, so that the others go on.
package builtin

import (
	"slices"

	"github.com/tristrand/tristrand"
)

// Outcome is what a task found.
type Outcome struct {
	Text  string // for the reader: one line, or for exec the output of the command
	Bytes int64  // how much was fetched, hashed or printed; 0 where size means nothing
}

// Spec describes a task.
type Spec struct {
	Name  string
	Help  string // what it does, one sentence
	Input string // what its input is, a noun
	Task  *tristrand.Task[string, Outcome]
}

// All returns the tasks in the order in which they are shown.
func All() []Spec {
	return []Spec{
		{"fetch", "Fetch a page by HTTP GET; give its status and size.", "URL", Fetch},
		{"hash", "Read a file; give its SHA-256.", "file", Hash},
		{"prime", "Divide a number until it is known to be prime or not.", "number", Prime},
		{"exec", "Run a command, without a shell; give its output.", "command", Exec},
	}
}

// Lookup returns the task of that name.
func Lookup(name string) (Spec, bool) {
	all := All()
	i := slices.IndexFunc(all, func(s Spec) bool { return s.Name == name })
	if i < 0 {
		return Spec{}, false
	}
	return all[i], true
}

// Names returns the names of all tasks.
func Names() []string {
	var names []string
	for _, s := range All() {
		names = append(names, s.Name)
	}
	return names
}
