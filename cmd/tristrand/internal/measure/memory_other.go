//go:build !linux

package measure

import "runtime/metrics"

// PeakOf says what Cost.Peak is on this platform.
const PeakOf = "memory that the Go runtime holds, children not counted"

func resetPeak() {}

func peakSinceReset() int64 { return 0 }

// memoryNow asks the Go runtime, because these systems tell a process its
// highest resident size but do not let it reset that.
func memoryNow() int64 {
	s := []metrics.Sample{
		{Name: "/memory/classes/total:bytes"},
		{Name: "/memory/classes/heap/released:bytes"},
	}
	metrics.Read(s)
	return int64(s[0].Value.Uint64() - s[1].Value.Uint64())
}
