// Package futex sleeps on a word of memory that several processes may have mapped,
// and wakes those who sleep on it.
//
// The words are shared ones, never FUTEX_PRIVATE. A Wait takes an operating-system
// thread for as long as it lasts, and holds its processor for up to the 20
// microseconds that the Go runtime takes to notice: let others of the process that
// have just been made ready run first (runtime.Gosched). Wake neither blocks nor
// yields.
//
// On systems without futexes Supported is false, Wait returns at once, and Wake does
// nothing.
package futex
