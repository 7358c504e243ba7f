// Package shm shares memory between the processes of a machine.
//
// [Bytes] is a piece of memory for large data. It can be a field of a task's
// input or output: its place is sent, not its bytes, and both sides see the same.
//
// # Limits
//
// Linux only: elsewhere the constructors return [ErrUnsupported].
package shm

import "github.com/tristrand/tristrand/internal/segment"

// ErrUnsupported is for a system, or a sandbox, that shares no memory. It is also
// errors.ErrUnsupported.
var ErrUnsupported = segment.ErrUnsupported
