//go:build !unix

package parcel

import (
	"errors"
	"fmt"
	"os"
)

func Duplicate(*os.File) (*os.File, error) {
	return nil, fmt.Errorf("this system hands no files to other processes: %w", errors.ErrUnsupported)
}
