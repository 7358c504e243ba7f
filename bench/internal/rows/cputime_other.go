//go:build !linux

package rows

import (
	"errors"
	"time"
)

func cpuTime(int) (time.Duration, error) {
	return 0, errors.New("only Linux tells the processor time of another process")
}
