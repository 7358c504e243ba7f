// Package coroutines shows how programs with coroutines are written: each test
// file is one scenario, named by what it shows, as an example or a test that
// runs.
//
// turns has C05, C07, C08 and C11.
//
//   - two_greenlets (C01): two functions switch to each other by name
//   - switch_with_value (C02): what a switch takes along
//   - interleaved_loops (C03): what a switch costs
//   - buns (C04): generators that are primed by Next and fed by Send
//   - wake_up_order (C05): sleepers go on in the order of their alarms
//   - join_and_value (C06): arguments, join, joinall, value, error
//   - hand_over (C07): a sleep of none hands over
//   - together (C08): ten waits one after another, and together
//   - blocking_calls (C09): file, HTTP, database, sleep of ordinary Go code
//   - pages (C10): the same pages one by one, on threads, on coroutines, on processes
//   - no_lock (C11): data of coroutines needs no lock
//
// Programs whose sleeps matter run in virtual time, in a bubble of
// testing/synctest.
package coroutines
