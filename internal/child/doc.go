// Package child starts, watches and ends child processes that run the same
// binary as their parent.
//
// A program calls [Enter] first thing in main: in a child it makes the process
// one that [Start] can watch and hands over the files that the parent named; in
// the first process it only notes that the program knows how to be a child.
// Start then runs the binary again and returns a [Child], which is signalled,
// killed with its whole process group, and, once [Child.Done] is closed, tells
// by [Child.Exit] what ended it.
//
// # Lifetime
//
// Each child leads a process group of its own, so that a terminal's Ctrl-C is
// its parent's affair. When a child ends, however it ends, what is left of its
// group is killed before the child is reaped. When the parent ends, however it
// ends, every group ends: a guardian process (the same binary, about 1 MiB, one
// for each parent that has children, started beside the first of them and ended
// a second after the last) reads a pipe from the parent and kills the groups
// that it was told of at the end of that pipe; and the kernel kills the
// children themselves (PDEATHSIG), should the guardian be dead too. A process
// that leaves its group (setsid, setpgid) escapes both.
//
// # Descriptors
//
// A child inherits stdin, stdout, stderr and the files of its [Spec], nothing
// else; Enter marks them so that the child's own children inherit none of them.
//
// # Errors
//
// Start fails with a [*StartError], which is [ErrExhausted] where the system had
// no descriptors, memory or processes left and a later try may succeed.
//
// # Costs
//
// A start costs what a bare exec of the binary costs and about 100 µs. Two
// threads of the parent do nothing but start children, and never end, because
// the kernel ties PDEATHSIG to the thread that started the child. A child that
// runs costs its parent up to four descriptors and three parked goroutines, no
// thread.
//
// # Other systems
//
// Unix systems but Linux: a guardian, but no PDEATHSIG; a thread waits for each
// child; [Child.Stopped] is always false and Spec.CPUs an error; MemoryLimitBytes
// is soft: the child's garbage collector keeps to it as long as it can.
//
// Windows: a job object instead of groups and guardian, so KillGroup kills the
// process alone and what it started ends with the parent; no signal but SIGKILL;
// a thread for each child; Stopped, CPUs and MemoryLimitBytes as before.
package child
