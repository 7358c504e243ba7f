package gtoken

import (
	"bytes"
	"runtime"
	"sync"
	"sync/atomic"
)

// lockedAt is where in the descriptor the thread is noted that a goroutine is
// locked to: 0 is not yet known, below 0 not to be found.
var lockedAt atomic.Int32

var findLocked sync.Mutex

// scan is how much of a descriptor is looked at: less than its size in any
// release since coroutines exist.
const scan = 384

// trials is how often a place must have behaved like the mark to be it.
const trials = 4

func lockedSlow(off int32) bool {
	if off == 0 {
		findLocked.Lock()
		if off = lockedAt.Load(); off == 0 {
			found := make(chan int32, 1)
			go func() { found <- calibrate() }()
			off = <-found
			lockedAt.Store(off)
			quickAt.Store(uint32(max(0, off)))
		}
		findLocked.Unlock()
		if off > 0 {
			return word(uintptr(off)) != 0
		}
	}
	var buf [128]byte
	head, _, _ := bytes.Cut(buf[:runtime.Stack(buf[:], false)], []byte("]:"))
	return bytes.Contains(head, []byte("locked to thread"))
}

// calibrate returns the place of the mark: the one word that is zero before, is
// the thread, which another word names as well, while the goroutine is locked,
// and is zero after. It runs on a goroutine of its own, which is not locked.
func calibrate() int32 {
	if !readable {
		return -1
	}
	var fits [scan / wordBytes]int
	for range trials {
		var before, during, after [scan / wordBytes]uintptr
		snapshot(&before)
		runtime.LockOSThread()
		snapshot(&during)
		runtime.UnlockOSThread()
		snapshot(&after)
		for i, v := range during {
			if v == 0 || before[i] != 0 || after[i] != 0 {
				continue
			}
			for j, m := range during {
				if j != i && m == v {
					fits[i]++
					break
				}
			}
		}
	}
	at := int32(-1)
	for i, n := range fits {
		if n == trials && i > 0 {
			if at > 0 {
				return -1 // which of the two is not known
			}
			at = int32(i * wordBytes)
		}
	}
	return at
}

const wordBytes = 8

func snapshot(to *[scan / wordBytes]uintptr) {
	for i := range to {
		to[i] = word(uintptr(i * wordBytes))
	}
}
