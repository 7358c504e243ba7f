// Package threads shows how programs with threads are written: each test file
// is one scenario, named by what it shows, as an example or a test that runs.
//
// Starting and ending:
//
//   - main_goes_on (T01): the program waits for its threads, the main one goes on
//   - function_or_type (T02): a thread of a function, or of a type with a run method; names
//   - join_all (T03): joining many takes as long as the slowest; a join with a time-out
//   - count_living (T04): how many threads live, and which
//   - current_and_main (T05): who am I, and who is the main thread
//   - daemons (T06): threads that the program does not wait for
//   - process_id, shared_global (T07, T08): threads share a process and its memory, processes do not
//   - start_cost (T09): what a thread costs, and a process
//
// Sharing:
//
//   - lost_update (T10): read, pause, write loses updates, unless a lock is held
//   - short_locks (T11): the slow part belongs outside the lock
//   - schedule_search (T12): the order of steps that goes wrong, found every time
//   - lock_twice (T13): a Lock refuses its holder, an RLock counts
//   - noodle_and_fork, lock_order (T14, T15): deadlocks are errors that name the circle
//
// Waiting for each other:
//
//   - at_most_five (T16): a bounded semaphore
//   - typed_line, traffic_light (T17, T18): an event
//   - timer (T19): a function called later, or cancelled
//   - condition, barrier, thread_local (T20): a shared dish, a common start, a value each
//   - gil (T21): a global interpreter lock, and life without one
//
// Programs whose sleeps matter are played in virtual time, see package stage:
// their transcripts have the time before each line.
package threads
