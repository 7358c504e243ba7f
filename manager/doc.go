// Package manager holds objects behind an address and shares them with Go and
// Python programs: it speaks the protocol of CPython's multiprocessing.managers,
// so a stock Python client uses a Go Server, and a Go Client a Python server.
//
//	srv := &manager.Server{AuthKey: key}
//	err := srv.ListenAndServe(ctx, "127.0.0.1:5000")
//
// is to Python
//
//	m = SyncManager(address=("127.0.0.1", 5000), authkey=key); m.connect()
//	d = m.dict(); d["answer"] = 42
//
// A Server has dict, list, set, Namespace, Value, Array, Queue, JoinableQueue,
// LifoQueue, PriorityQueue, Event, Lock, RLock, Semaphore, BoundedSemaphore,
// Condition, Barrier and Pool, and whatever a Type adds to them. An object lives
// while somebody refers to it: a client's proxy, or another object that it is
// stored in.
//
// # Trust
//
// Whoever knows the AuthKey may use everything, and nothing on the wire is
// encrypted unless both sides are Go's and use TLS: bind to the loopback or a
// Unix socket in a directory of one's own. What comes over the wire is read as
// data; no name in it is looked up, imported or called but what is on a short
// list (package pickle). Instances of the classes of Python's library that are
// only data (dates, decimals, UUIDs, collections …) are kept as they came and are
// equal, ordered and keys as in Python; those of a program's own are refused, as a
// server in Python refuses classes that it cannot import. A pool runs functions by name, those that the server
// offers.
//
// # Clients that die
//
// A session is one thread of a Python program, or one strand of a Go program.
// When its connection ends, what it waits for is given up: a blocked get takes
// nothing, a barrier breaks. A lock that it held goes to the next who asks: a
// Python client gets it, a Go client gets tristrand.ErrOwnerDied and may Recover
// it. Permits of a semaphore are given back up to its first count. References
// are dropped where the process is known: of Go clients and on Unix sockets.
//
// # Locks
//
// Any session of a Python program may release a Lock, as threading has it; the
// Lock of a Go program and every RLock is released by its holder alone. A wait
// that can never succeed, because the holders wait for each other, is refused: a
// *tristrand.DeadlockError in Go, a RuntimeError in Python.
//
// # Costs
//
// A connection costs a goroutine. On Linux, with two processors or more, it sleeps
// for as long as calls need not wait: one loop waits for all connections, and reads
// and answers what takes no time. A call that waits for a lock is an entry in the
// lock's queue, and answered by whoever gives the lock up; one that waits for
// something else or takes long is left to the connection's goroutine. Elsewhere, and
// with TLS, each connection is read by its goroutine, and one more looks while a call
// of a Python client waits whether the client is there. An idle client costs less
// than 16 KiB.
package manager
