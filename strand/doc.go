// Package strand says who is running, and is the one place where everything in
// Tristrand waits.
//
// A [Strand] is one line of execution: the main one, a thread, a coroutine. It
// has an id, a name, a kind, a parent and a state. A context names it: [Go]
// starts one and hands its context to the body, [Adopt] makes one of a
// goroutine that exists already, and [Current] reads the context back.
//
// A primitive that has to block makes a [Wait] for its strand, keeps it among
// its waiters, and parks with itself as the [Resource] waited for; whoever ends
// the wait grants it. Because nothing blocks anywhere else, the same primitive
// works under every [Scheduler], the wait-for graph exists once, and a wait
// that can never succeed is refused with a [DeadlockError].
//
// # Identity
//
// A strand belongs to one goroutine. The context names it, and the goroutine
// that runs confirms it: a goroutine that borrows another strand's context
// (errgroup, net/http, a plain go statement) is nameless, as is one whose
// context names no strand. A nameless caller may lock and wait; it owns nothing
// re-entrantly, and it is never called a deadlock. [Adopt] gives it a strand.
//
// # Deadlock
//
// A wait is refused when everything that could end it waits too: the owner of a
// lock, the runner of a job, the workers of a full pool are closed sets, and
// when all that can be reached from a wait is waiting on closed sets the last
// one to wait is the victim. A strand whose wait has a deadline is never part
// of a deadlock; when its time is up its error carries the cycle as well. What
// blocks outside the library (a channel, a system call) counts as running, so a
// deadlock through it is missed, and none is ever reported falsely.
//
// # Contexts that have ended
//
// A call that may block returns the error of a context that has already ended
// without trying. Errors of ended contexts match both the context's error and
// its cause.
//
// # Costs
//
// [Enter] with the strand's own context costs about 3 ns, through four derived
// contexts about 12 ns; it never allocates. A park and its grant cost two
// channel operations, about 300 ns, and the walk of the wait-for graph.
package strand
