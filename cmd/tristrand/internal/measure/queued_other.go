//go:build !linux

package measure

import "time"

// queuedTime is 0: it is not known here.
func queuedTime() time.Duration { return 0 }
