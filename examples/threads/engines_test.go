package threads_test

import (
	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/process"
	"github.com/tristrand/tristrand/thread"
)

// An engine is where jobs run. The scenarios that compare threads with
// processes run the same tasks on each row.
type engine struct {
	name         string
	ownProcesses bool // a worker is a process of its own
	pool         func(workers int) tristrand.Executor
}

var engines = []engine{
	{"threads", false, func(n int) tristrand.Executor { return &thread.Pool{Workers: n} }},
	{"processes", true, func(n int) tristrand.Executor { return &process.Pool{Workers: n} }},
}
