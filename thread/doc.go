// Package thread runs functions on goroutines that have a name, can be joined,
// and are known to the rest of the library: each is a strand.
//
// [Start] starts a [Thread] and [Thread.Join] waits for it; [Main] makes the
// program's first strand and, when its function returns, waits for the threads
// that are not daemons. [AfterFunc] is a thread that first waits, [Local] a
// variable that each strand has for itself, and [GIL] lets threads run one at a
// time. [Pool] is the engine: a bounded number of threads that run jobs.
//
// # Limits
//
// Go cannot stop a goroutine. Whoever wants a thread to end cancels its ctx, and
// the function has to look at it; a job whose time is up is given up, its worker
// replaced, and its function runs on. Package process stops things for good.
//
// # Errors
//
// The error of a thread's function, or its panic as *tristrand.PanicError, is
// Join's. Of a thread that nobody joins it goes to tristrand.OnReport: of a
// daemon at once, of any other when its handle is collected or Main ends.
//
// # Costs
//
// A thread costs about 1.3 µs to start and join, four bare goroutines. A job
// costs about 50 ns to Detach to a busy Pool, 150 ns to Submit, and 0.5 µs from
// Submit to Result on an idle one. bench/ has the figures beside those of peers.
package thread
