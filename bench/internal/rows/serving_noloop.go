//go:build !linux

package rows

import (
	"errors"
	"io"
)

const hasLoop = false

func loopServe(io.Writer) error { return errors.ErrUnsupported }
