// Package tristrand runs functions, waits for them, and says what every
// primitive of the library does: it is the contract that the engines and the
// scopes share.
//
// A [Task] is a function, a [Job] one call of it, an [Executor] what runs jobs,
// and a [Future] the result to come:
//
//	pool := &thread.Pool{Workers: 4}
//	defer pool.Close(context.WithoutCancel(ctx))
//	sum, err := Hash.Submit(ctx, pool, "go.mod", tristrand.Retries(2)).Result(ctx)
//	for sum, err := range Hash.Map(ctx, pool, slices.Values(paths)) { … }
//
// [Task.Map], [Wait], [AsCompleted] and [Group] are for many jobs, [Detach] for
// one that nobody waits for. [Locker], [Semaphore], [Event], [Condition],
// [Barrier], [Queue] and [Value] are the primitives; package local has those for
// one process. Everything that blocks does so through package strand, so it
// serves threads and coroutines alike and takes part in one wait-for graph.
//
// # Contexts
//
// The ctx of Submit is the job's: its end cancels the job, and its deadline and
// values are the job's, too; context.WithoutCancel detaches a job. The ctx of
// Result, Wait and every primitive says who calls and bounds that wait alone. A
// call that may block returns the error of a ctx that has ended without trying;
// that error matches the ctx's cause as well. A job's own ctx ends when its
// function returns.
//
// # Outcomes
//
// They are told apart, with errors.Is and errors.As: the function's own error,
// [PanicError], [ErrCancelled], [ErrTimeout], [ErrClosed], [ErrFull],
// [ErrNotPortable], [ErrGoexit], [DeadlockError]. A panic is an error on every
// engine, because one in another process cannot be raised again here, and a
// program must not change its behaviour with its engine. Errors that nobody
// waits for go to [OnReport].
//
// # Lifetime
//
// Whoever makes an Executor closes it. Close waits for the jobs accepted, so that
// no work outlives its executor but a function whose time was up on an engine
// that cannot stop it.
//
// # Costs
//
// A Submit is one allocation of about 160 bytes. Map holds no more results than
// it reads ahead, whatever the number of inputs.
package tristrand
