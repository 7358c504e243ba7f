// Package local holds the primitives for one process: Lock, RLock, Semaphore,
// BoundedSemaphore, Event, Condition, Barrier and three queues.
//
// They satisfy the interfaces of package tristrand, which state what each
// method does; the same words exist for the processes of a machine and for
// machines. All block through package strand, so they serve threads,
// coroutines and plain goroutines alike, at once and together.
//
// A Lock, RLock, Event, Condition or Queue is ready as a zero value. None may be
// copied after first use.
//
// # Callers
//
// A strand's own context says who calls. A goroutine without one, or with a
// borrowed one, is nameless: it may use everything, but a nameless holder cannot
// acquire an RLock again and is never found in a deadlock.
//
// # Fairness
//
// A newcomer may take a lock that is free although others wait. Whoever has
// waited for a lock for 1 ms is handed it by the next release, first come first
// served. Everything else is strictly first come first served, as is a lock
// under any scheduler but the Go runtime.
//
// # Holders that end
//
// A strand that ends holding a lock leaves it: those who wait, and whoever
// comes later, get tristrand.ErrOwnerDied until someone calls Recover.
//
// # Costs
//
// A Lock that nobody contends costs about twice a sync.Mutex, with its holder
// and the place of the acquisition known and without allocation. A wait costs a
// park, see package strand, and one allocation.
package local
