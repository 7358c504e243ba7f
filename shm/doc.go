// Package shm has the primitives for the processes of a machine: Lock, RLock,
// Semaphore, BoundedSemaphore, Event, Condition, Barrier, Queue and Value in memory
// that they share; and that memory itself.
//
// The primitives satisfy the interfaces of package tristrand, as those of package
// local do, and block through package strand: they serve threads, coroutines and
// plain goroutines of every process that has them. [Bytes] is a piece of memory
// for large data, [Array] one of elements of a type. Each of them can be a field of a task's input or output: its
// place is sent, and the process that gets it uses the same object.
//
// # Lifetime
//
// An object is there until every process that has it has closed it or ended. One
// that has not been sent anywhere is also closed when the garbage collector finds
// that nothing refers to it. Keep an object that you send until it has arrived.
// A lock that is held when nothing refers to it, or to any other object that came
// from where it was made, is left as if its holder had died.
// The memory has no name in any file system: nothing is left behind, however the
// processes end.
//
// # Holders that die
//
// A process that is killed, or a strand that ends, holding a lock leaves it: those
// who wait, and whoever comes later, get tristrand.ErrOwnerDied, which says who it
// was and where it took the lock, until someone calls Recover. What a dead process
// held of a semaphore is given back; what it did to a queue or a value is done or
// not, never half; a dead party of a barrier breaks it; a
// notification that it took along goes to the next.
//
// A process that is stopped is not dead: what it holds stays held. Stopped within an
// operation it keeps others from that object for as long as their ctx lasts; what
// does not wait (TryPut, Release, Abort) says tristrand.ErrBusy after a second.
//
// # Deadlock
//
// The processes see each other's holders and waiters, so a cycle of locks across
// processes is refused like one within a process: at once, with one victim. A
// cycle that goes through locks of package local as well is found as soon as one
// process sees all of it, which can be never if it passes through the local locks
// of two.
//
// # Limits
//
// Linux only: elsewhere the constructors return [ErrUnsupported]. The objects of
// one process may be used by 128 processes and 4,096 strands at a time: further
// processes get an error, further strands wait. All processes must run the same
// binary and trust each other with what they share.
//
// # Costs
//
// A Lock that nobody contends costs little more than a local.Lock, without
// allocation. A few waiters of each process sleep on a futex, each with an OS
// thread, and are woken directly; the others park, and one goroutine for each
// process and owner of objects wakes them. A Queue, an Array, and a Value larger
// than a few words take a descriptor each.
package shm

import "github.com/tristrand/tristrand/internal/segment"

// ErrUnsupported is for a system, or a sandbox, that shares no memory. It is also
// errors.ErrUnsupported.
var ErrUnsupported = segment.ErrUnsupported
