// Package coro runs functions that take turns: greenlets, which switch to one
// another by name; generators; and coroutines, which a hub runs by turns and
// which hand over when they wait.
//
// [New] makes a [Greenlet], a function with a stack of its own that is switched to
// and from with values both ways. [NewGenerator] makes a [Generator], which gives
// values one after another and can be sent some. [Run] runs a hub: in it [Spawn]
// starts a [Coroutine], [JoinAll] waits for several, [Sleep], [Timeout] and
// [Await] wait. [Pool] is the engine: an executor whose jobs are coroutines.
//
// # Turns
//
// One coroutine of a hub runs at a time and keeps its turn until it waits, sleeps
// or ends, so that what only they use needs no lock. Everything of this library
// that waits hands the hub over: a local.Lock or a queue, a Future, a Join; a
// coroutine and a thread can wait for the same one. What blocks in any other way
// blocks the hub, unless it is done in [Await]. A coroutine that keeps the hub for
// longer than Hub.HogAfter is reported with its stack.
//
// # Contexts
//
// A coroutine is known by the ctx that its function was given; give that one, or
// one derived from it, to whatever it calls. Its greenlets and generators wait as
// the coroutine that switched to them. A function run by iter.Pull does not, and
// blocks the hub when it waits.
//
// # Lifetime
//
// Run returns when every coroutine of its hub has ended. The ctx of a coroutine
// ends with its function.
//
// # Deadlocks
//
// A wait for a lock or a coroutine that waits itself, round to the first, fails at
// once, with a *tristrand.DeadlockError. So do, once nothing has happened for
// Hub.DeadlockAfter, all the waits of a hub in which everything waits, for a queue
// or an event too, if nothing is known that could change it. Known are: timers,
// conns and Await of the hub; a hub whose ctx has a deadline; every other hub; every
// strand and every goroutine of the process, unless it waits in this library without
// a deadline. Not known is what has no goroutine yet: a function given to
// time.AfterFunc, or to runtime.AddCleanup. A program in which such a one is all that
// is to end a wait uses thread.AfterFunc or SpawnAfter instead, or sets DeadlockAfter
// below 0.
//
// # Threads
//
// Coroutines are switched on whatever thread their goroutine is on. One that is
// locked to its thread (runtime.LockOSThread) cannot be switched away from: what
// would wait returns [ErrThreadLocked]. On processors other than amd64 and arm64
// every call that switches costs about 2 µs more, to see whether it is locked.
//
// # Costs
//
// A switch between two greenlets costs about half a round trip of iter.Pull, and
// allocates nothing. The stacks of ended coroutines are used again. bench/ has the
// figures beside those of greenlet and gevent.
package coro
