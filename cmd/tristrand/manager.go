package main

import (
	"context"
	"errors"

	"github.com/tristrand/tristrand/cmd/tristrand/internal/hosting"
	"github.com/tristrand/tristrand/manager"
)

// managerCmd is "tristrand manager".
type managerCmd struct {
	Listen      string   `default:"127.0.0.1:5000" placeholder:"ADDR" help:"Where to listen: host:port (port 0 is any), a path with a slash, or @name. The default is 127.0.0.1:5000."`
	AuthkeyFile string   `name:"authkey-file" placeholder:"FILE" help:"The file with the key that clients must know."`
	NoAuth      bool     `name:"no-auth" help:"Serve everyone who can connect, without a key."`
	Object      []string `placeholder:"NAME=TYPE" sep:"none" help:"An object that is there from the start, as in jobs=Queue or seats=Semaphore:3. May be repeated."`
	Inspect     string   `placeholder:"ADDR" help:"Show the objects of the server there, who holds them and who waits, and leave."`
	JSON        bool     `name:"json" help:"Print JSON instead of text: a document for each line."`
}

// Help is shown by "tristrand manager --help".
func (managerCmd) Help() string {
	return `Holds dicts, lists, queues, locks and more behind an address, for Go programs (package manager) and for Python programs that have only their standard library: it speaks the protocol of multiprocessing.managers. It prints "listening ADDR" once it does, and serves until Ctrl-C or until a client shuts it down.

Types: dict, list, set, Namespace, Value, Array, Queue, JoinableQueue, LifoQueue, PriorityQueue, Event, Lock, RLock, Semaphore, BoundedSemaphore, Condition, Barrier, Pool. A number after a colon is what it is made of: Queue:10, Semaphore:3, Barrier:2, Value:0.

Examples:

  head -c 32 /dev/urandom | base64 > key
  tristrand manager --authkey-file key --object jobs=Queue --object seen=dict
  tristrand manager --authkey-file key --inspect 127.0.0.1:5000

and in Python:

  from multiprocessing.managers import SyncManager
  SyncManager.register("jobs")
  m = SyncManager(("127.0.0.1", 5000), authkey=open("key", "rb").read().strip())
  m.connect()
  m.jobs().put("work")

Nothing is encrypted: listen on the loopback, or on a Unix socket in a folder of your own. What clients send is data; nothing in it is run.

--inspect prints a line for each object: its ident, type, number of references, who holds it, who waits for it, and its value. --json prints {ID, Type, Refs, Text, Holder, Waiters} for each.

Exit codes: 0 it was ended, 1 it failed, 2 wrong usage.`
}

// Validate is called by kong before Run, so that these are errors of usage.
func (c *managerCmd) Validate() error {
	switch {
	case c.AuthkeyFile == "" && !c.NoAuth:
		return errors.New("it needs --authkey-file, or --no-auth if nobody shall need a key")
	case c.AuthkeyFile != "" && c.NoAuth:
		return errors.New("--authkey-file and --no-auth exclude each other")
	case c.Inspect != "" && len(c.Object) > 0:
		return errors.New("--inspect looks at a server that runs: it makes no --object")
	}
	_, err := hosting.Objects(c.Object)
	return err
}

// Run serves, or shows what another serves.
func (c *managerCmd) Run(ctx context.Context, s streams) error {
	var key []byte
	if c.AuthkeyFile != "" {
		var err error
		if key, err = hosting.Key(c.AuthkeyFile); err != nil {
			return exitError{err, exitUsage}
		}
	}
	if c.Inspect != "" {
		return hosting.Inspect(ctx, s.out, c.Inspect, manager.DialOptions{AuthKey: key, NoAuth: c.NoAuth}, c.JSON)
	}
	objects, err := hosting.Objects(c.Object)
	if err != nil {
		return err
	}
	server := &manager.Server{AuthKey: key, NoAuth: c.NoAuth, Objects: objects}
	if err := server.Check(); err != nil {
		return exitError{err, exitUsage}
	}
	return hosting.Serve(ctx, s.out, c.Listen, server, c.JSON)
}
