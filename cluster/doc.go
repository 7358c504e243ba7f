// Package cluster runs the tasks of a program on many machines, and has its primitives for
// them: over NATS, whose server can be in the program itself.
//
//	c, err := cluster.Open(ctx, cluster.Options{Listen: "127.0.0.1:4222"}) // or cluster.Connect(ctx, url)
//	defer c.Close(ctx)
//	pool := c.Pool() // an executor, as thread.Pool is one
//	sum, err := Hash.Submit(ctx, pool, "go.mod").Result(ctx)
//
// and on each machine that shall work, in the same program:
//
//	err := cluster.Serve(ctx, c, &process.Pool{}) // or a thread.Pool, or a coro.Pool
//
// A server in the program needs package cluster/embed to be imported.
//
// # What is promised
//
// Jobs run at least once, and have at most one visible result each. A job that Submit has
// accepted is stored: it survives the end of every process, the submitter's and the
// server's included (Durability Process), or the loss of power, too, of one machine, or
// with peers of less than half of them (Power). When a worker dies, its jobs are run by
// others after the Lease. With three peers a Submit goes on within a second of the loss of
// any one; locks, values and jobs that were stored by the lost one go on within ten.
//
// # What is not
//
// A function may run more than once, so its effects are to bear that. Nothing helps
// against disks that lie, or peers that are removed by force. A reader may see an old
// value for up to ten seconds while a leader is cut off from the others.
//
// # On three machines
//
// Each machine, 10.0.0.1 to 3 here, runs a server that is a worker, too; any of them may be
// lost, and its jobs and locks are with the other two:
//
//	tristrand worker --dir /var/lib/tristrand --listen 10.0.0.1:4222 --user jobs --password-file key \
//		--self 10.0.0.1:6222 --peers 10.0.0.1:6222,10.0.0.2:6222,10.0.0.3:6222
//
// or a program that calls Open with Dir, Listen, Self, Peers, User and Password. Others name
// all three in Options.URLs. Without TLS what travels can be read: use a network of your own,
// or Options.TLS.
//
// # What to watch
//
// "tristrand cluster status" and [Cluster.Status]: jobs that wait while workers are idle, and
// dead letters, which [Cluster.RetryDead] puts back; the disk: while it is full a Submit waits,
// for half a minute, and a server of this package goes on as soon as there is room; that [Cluster.Leaders] names three servers; and [Cluster.Info] for the durability that
// is in force.
//
// # Errors
//
// Those of tasks cross as [tristrand.RemoteError], [tristrand.PanicError] and others. A job whose
// workers have died several times fails with [ErrDead], one that no worker can run with
// [ErrUnfit]; both are dead letters then, see [Cluster.DeadLetters], as is every job that
// fails with nobody waiting for it.
//
// # Costs
//
// A job costs its submitter and its worker some 30 µs of processor time each, and about
// 0.2 ms from Submit to Result on one machine. Map sends quick inputs many to a job.
package cluster
