package cluster

import (
	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/internal/fault"
	"github.com/tristrand/tristrand/process"
)

// A RemoteError is an error that a task returned on a worker; besides the errors that
// keep their identity everywhere, ErrDead and ErrUnfit do.
type RemoteError = tristrand.RemoteError

// A remoteFault is an error as it crosses.
type remoteFault = fault.Fault[*process.ExitError]

var faults = fault.Codec[*process.ExitError]{
	Known: []error{ErrDead, ErrUnfit}, MaxText: 8 << 20, MaxValue: 8 << 20, MaxStack: 64 << 10,
}
