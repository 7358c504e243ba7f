package spool

import "os"

func unlinked() (*os.File, error) { return os.CreateTemp("", "tristrand-*") }

// discard closes first: an open file cannot be removed here.
func discard(f *os.File) {
	_ = f.Close() // what it held is not wanted any more
	_ = os.Remove(f.Name())
}
