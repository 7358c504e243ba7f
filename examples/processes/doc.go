// Package processes shows how programs with several processes are written: each test
// file is one scenario, named by what it shows, as an example or a test that runs.
//
//   - hello (P01): ten processes, together and one by one
//   - chain (P02): a process that starts a process that starts a process
//   - queue (P03): a queue between processes; what arrives is equal to what was put
//   - lock_of_threads (P04): what belongs to one process cannot be sent, and the error says what can
//   - pipe (P05): messages both ways, a time-out, the end
//   - whole_lines (P07): one file, a lock, and no line torn
//   - array (P08): numbers that all processes see, and what is refused
//   - pool (P09): jobs one by one and several at a time, a callback in the program
//   - program_ends (P10): a pool forgotten, closed, terminated, killed: no process is left
//   - daemon (P11): daemons, a join with a time-out, terminate, exit codes
//   - crash (P12): what a job can do to its process, and what that does to the others
//
// Managed objects (P06) are in package managers. A program that has worker processes
// begins with process.Main, or process.Init, in its main, and its tests in TestMain: see
// program_ends_test.go.
package processes
