// Package process runs jobs in worker processes of the same binary, which can be
// killed, and whose crash is theirs alone.
//
// A program begins with [Main] (or [Init], also in TestMain): in a worker process it
// does not return. A [Pool] is a tristrand.Executor whose workers are started ahead and
// replaced when they die; [Start] runs one task in a [Process] of its own; [Pipe] joins
// two processes. What crosses is encoded (CBOR), except for bytes; large data goes
// through shared memory, and the objects of package shm, fields of an input or an
// output, arrive as what they are.
//
// # What can happen to a job
//
// A job whose worker dies fails with an [*ExitError], which tells a panic, a fatal error
// of the runtime, os.Exit, a signal and a lack of memory apart and has the last lines of
// stderr; the other jobs go on. A job runs once, unless Retries says otherwise: what a
// worker had not begun when it died is given to another. Cancelled, or over its time, a
// job's ctx ends; after Pool.JobGrace its worker gets SIGTERM, and after that again
// SIGKILL, with every process that it has started. Its Future is settled when it has
// stopped: a job that is ErrTimeout or ErrCancelled does not run any more.
//
// # Lifetime
//
// No worker outlives the program, whatever ends it: a guardian process, one for each
// program that has workers, kills the process groups of the workers within two seconds.
// A process that leaves its group (setsid) escapes. Ctrl-C goes to the program alone;
// what its workers do then is its own affair.
//
// # Errors across the border
//
// An error that a task returns arrives as a [*tristrand.RemoteError]: its text, its type's name,
// and for errors.Is the errors of package tristrand and the well-known ones of the
// standard library. A panic is a *tristrand.PanicError, as on every engine.
//
// # Values across the border
//
// Fields that are not exported do not cross. Channels, functions and the primitives of
// one process are refused when the job is submitted, with the place in the input and
// what to use instead. In an interface, integers arrive as int64 and structs as maps.
//
// # Costs
//
// A job costs some 10 µs there and back, 2 µs of processor time among many; a worker
// 3 ms to start and 1 to 2 MiB. Jobs go through a ring of shared memory of 64 KiB each
// way, larger values through shared memory that is kept for the next.
//
// # Platforms
//
// Linux has all of it. Elsewhere, and in a sandbox that forbids shared memory, jobs
// travel over pipes, none is sent ahead, a Pipe stays within its process, and there is
// nothing of package shm; Process.Stopped and CPUs are Linux's alone, and SIGTERM before
// SIGKILL is not for windows. What is missing is an error that is
// errors.ErrUnsupported. Only Linux is tested.
package process
