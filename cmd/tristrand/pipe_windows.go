package main

import (
	"errors"
	"os"

	"golang.org/x/sys/windows"
)

func notifyPipe(chan<- os.Signal) {} // no such signal here

// isClosedPipe reports whether err is a write whose reader went away.
func isClosedPipe(err error) bool {
	return errors.Is(err, windows.ERROR_BROKEN_PIPE) || errors.Is(err, windows.ERROR_NO_DATA)
}
