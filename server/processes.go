package server

// Processes serves connections in worker processes of the same program, which must
// call process.Init or process.Main; the Handler must have been given a name by
// [Handle]. This process accepts and hands the descriptor over before a byte is
// read; the PROXY header and TLS, for which there must be files, are the worker's. A
// handler that crashes its process costs the connections which that process serves,
// with PerConnection its own alone; connections that were handed over and not yet
// taken go to another one. It needs Linux; elsewhere Serve fails with [ErrUnsupported].
//
// Limits are for all workers together. A worker asks here about the client that a
// PROXY header names; a connection counts until this process has heard of its end,
// which the client may have seen a moment before.
type Processes struct {
	// Workers is how many processes there are; 0 is the number of processors. With
	// PerConnection it is how many are started ahead of the connections.
	Workers int

	// PerConnection gives each connection a process of its own, which ends with it.
	PerConnection bool

	// PerWorker is how many connections a worker serves at once; 0 is any number, as
	// threads do.
	PerWorker int

	// Max bounds the connections that are served at once, beside Server.MaxConns. 0
	// does not, but with PerConnection is 256.
	Max int

	// MaxServed replaces a worker after so many connections; 0 never.
	MaxServed int

	// MemoryLimitBytes ends a worker that needs more; 0 does not.
	MemoryLimitBytes int64
}

const defaultMaxFresh = 256

func (m Processes) bound() int {
	switch {
	case m.Workers < 0 || m.PerWorker < 0 || m.MaxServed < 0:
		return -1
	case m.Max == 0 && m.PerConnection:
		return defaultMaxFresh
	}
	return m.Max
}
