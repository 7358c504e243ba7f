package rows

import (
	"context"
	"io"
)

// sides are what this program does as another process, by the names that Child gets.
var sides = map[string]func(ctx context.Context, w io.Writer, arg string) error{
	"far-netpoll":  farSide("far-netpoll"),
	"far-blocking": farSide("far-blocking"),
	"far-payload":  farSide("far-payload"),
	"far-sink":     farSide("far-sink"),
	"pipes":        func(_ context.Context, w io.Writer, _ string) error { return pipesChild(w) },
	"plugin":       func(_ context.Context, _ io.Writer, protocol string) error { pluginChild(protocol); return nil },
	"shm-waiters":  waitersChild,

	"asynq-worker":   asynqChild,
	"cluster-worker": clusterChild,
	"cluster-hand":   handWorker,

	"sleepers-coro":       sleepersChild(asleepOnAHub),
	"sleepers-goroutines": sleepersChild(asleepInGo),
}

func farSide(side string) func(context.Context, io.Writer, string) error {
	return func(_ context.Context, _ io.Writer, address string) error { return farChild(side, address) }
}
