// Package server serves clients over TCP, UDP and Unix sockets: a thread, a
// process or a coroutine for each connection, by one word.
//
// A [Server] accepts connections and has its [Handler] serve each as a [Conn],
// which is a net.Conn with lines, records and time-outs. [Server.Model] says on
// what: [Threads], [Processes], [Coroutines], or one at a time, [Inline]. The handler is
// the same for all; worker processes find it by the name that [Handle] gives it:
//
//	var Upper = server.Handle("example.upper", func(ctx context.Context, c *server.Conn) error {
//		for line, err := range c.Lines() {
//			if err != nil {
//				return err
//			}
//			if err := c.WriteLine(strings.ToUpper(line)); err != nil {
//				return err
//			}
//		}
//		return nil
//	})
//
//	srv := &server.Server{Addr: ":7000", Handler: Upper, Model: server.Threads{Max: 500}}
//	err := srv.Serve(ctx)
//
// # Lifetime
//
// Serve returns when ctx has ended or [Server.Shutdown] was called, and all is over: nobody
// new is accepted but those who are in the kernel's queue; handlers may go on for
// a while; then their ctx ends and their reads fail with [ErrServerClosed]; after
// Grace their connections are cut, and whose those were is told. The address is
// free as soon as nobody is accepted any more.
//
// # Errors
//
// Of one connection they go to [Server.OnError] and cost only that connection, a
// panic too. Accept survives a lack of descriptors: it waits, at most a second, or
// until a connection ends.
//
// # Trust
//
// All that a client can make the server hold is bounded: lines, records, PROXY
// headers, datagrams in hand. What it can make the server wait for is bounded by
// the time-outs, of which only HandshakeTimeout is set unless you set the others.
//
// # Costs
//
// A connection costs a goroutine or a coroutine, a strand and some 300 bytes; it has
// no buffer while its client is silent. A message costs what the kernel takes for it:
// on one processor coroutines add some tenths of a microsecond, goroutines a read
// that finds nothing and the wait of package net. bench/ has the figures beside those
// of peers, and of a loop that only reads and writes.
//
// # Other systems
//
// Shards needs a Unix system. Processes needs Linux.
package server
