// Package schedule runs strands one at a time, for tests: [Cooperative] in the
// order in which they gave the turn up, [Search] in an order that a seed stands
// for.
//
// Both take a body that gets the context of a root strand. Strands that the
// body starts with strand.Go take turns with it, because children have their
// parent's scheduler; a call returns when the last of them has ended. The code
// under test is the same that runs under the Go runtime: whatever waits through
// package strand waits under these schedulers too.
//
// # Cooperative
//
// A strand runs until it waits, ends, or hands over by strand.Yield or
// strand.Sleep, and goes to the end of the queue then. Goroutines that are no
// strands may take part: they can make a strand ready at any time. Time is that
// of the strand that runs the scheduler, so it is virtual in a synctest bubble
// and under Search.
//
// # Search
//
// Before every operation the turn may go to any strand that could run, by a
// random number from the seed. Equal seeds give equal schedules, in every
// process, as long as the body itself is deterministic: [Outcome.Hash] is a hash
// of who did what to which object, and [Outcome.Trace] prints it. Releasing
// something and setting something are not points of choice unless the object
// has ever been tried (TryAcquire, TryGet …): without a Try nobody can tell
// whether they came before or after the next operation of the same strand.
//
// Time is virtual: it stands while any strand can run, and then jumps to the
// next thing that is due. When nothing is due either, the body is stuck: the
// contexts of all strands end with a [*StuckError], so that the body can end.
// Only strands may take part; whoever else makes one ready is named by an
// [*OutsideError]. A strand that blocks on a channel or a sync.Mutex blocks the
// search.
package schedule
