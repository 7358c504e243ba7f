//go:build !linux && !darwin

package rows

import (
	"errors"
	"io"
)

const hasNetpoll = false

func netpollServe(io.Writer) error { return errors.ErrUnsupported }
