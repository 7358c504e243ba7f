//go:build unix

package main

import (
	"errors"
	"os"
	"os/signal"
	"syscall"
)

func notifyPipe(c chan<- os.Signal) { signal.Notify(c, syscall.SIGPIPE) }

// isClosedPipe reports whether err is a write whose reader went away.
func isClosedPipe(err error) bool { return errors.Is(err, syscall.EPIPE) }
