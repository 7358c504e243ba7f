//go:build !linux

package process

import (
	"errors"
	"os"
)

func socketPair() (a, b *os.File, err error) { return nil, nil, errors.ErrUnsupported }

func newSocket(*os.File) (post, error) { return nil, errors.ErrUnsupported }
