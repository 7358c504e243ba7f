// Package servers shows how programs that serve are written: each test file is one
// scenario, as a test that runs.
//
//   - phone_menu (S01): a menu for each caller, on threads, on processes, on coroutines by one word
//   - upper_case (S02): an echo in capitals, and its client
//   - one_thread (S03): a coroutine for each of 500 clients, on one thread
//   - print_what_comes (S04): restart on the same address at once; the end of input closes
//   - readiness (S05): a loop on select, poll and epoll; what a wait costs
//   - half_close (S06): an echo that is complete after the client has ended its side
package servers
