//go:build unix

package spool

import "os"

// removed returns a file whose name is gone already.
func removed() (*os.File, error) {
	f, err := os.CreateTemp("", "tristrand-*")
	if err != nil {
		return nil, err
	}
	if err := os.Remove(f.Name()); err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

func discard(f *os.File) { _ = f.Close() } // what it held is not wanted any more
