// Package conformance checks that engines and primitives keep the contract of
// package tristrand, whatever they are made of.
//
// There is one suite for each primitive ([Lock], [RLock], [Semaphore],
// [BoundedSemaphore], [Event], [Condition], [Barrier], [Queue], [LIFO],
// [Priority]) and one for executors, [Executor]. A test of a scope or an engine calls a
// suite with a function that makes a new object:
//
//	func TestLock(t *testing.T) {
//		conformance.Lock(t, func(context.Context, testing.TB) tristrand.Locker {
//			return new(local.Lock)
//		}, conformance.Options{})
//	}
//
// A suite is a list of rules: a name, the clause of the contract that it
// checks, and a function. Every rule runs as a subtest, on new objects, in every
// [World] that it makes sense in.
//
// # Worlds
//
// A world is what decides whose turn it is and what time it is: the Go runtime
// with fake or with real time, a cooperative scheduler, a searching one. The
// rules know none of them: they get the context of a root strand, start strands
// with strand.Go, and wait by asking the object how many wait for it, never for
// a length of time. So the same object is shown to keep the same rules under
// all schedulers, and rules of time-outs cost no time where time is virtual.
//
// A failure in the searched world names its seed; with TRISTRAND_SEED set to it
// that schedule alone is run again.
//
// # Behaviours
//
// [Behaviours] lists what the test suites of Python's threading, queue and
// gevent state of such objects, each with the rules that cover it or the reason
// why it is left out; [ExecutorBehaviours] what those of threads, futures and
// executors do.
package conformance
