// Package queues shows how programs with queues and pools are written: each test
// file is one scenario, named by what it shows, as an example or a test that
// runs.
//
//   - orders (Q01): first in first out, last in first out, by priority
//   - producer_consumer (Q02): a bounded queue; gets and puts that do not wait
//   - callback_pool (Q03): threads made when needed, up to ten; callbacks; close, terminate
//   - squares (Q04): an executor, and results in the order of submission, on any engine
//   - map (Q05): the same without the futures; with a time-out, in chunks
//   - pages (Q06): workers fetch, callbacks write to a file
//   - futures (Q07): what can be asked of a future, and wrong numbers of workers
//
// Programs whose sleeps matter are played in virtual time, see package stage:
// their transcripts have the time before each line.
package queues
