//go:build !unix

package process

import (
	"errors"
	"fmt"
	"os"
)

// streamPair is for systems that cannot hand a pipe to a process that runs.
func streamPair() (a, b *os.File, err error) {
	return nil, nil, fmt.Errorf("this system hands no files to other processes: %w", errors.ErrUnsupported)
}

func isBroken(err error) bool { return errors.Is(err, os.ErrClosed) }

func closeFD(int) {}
