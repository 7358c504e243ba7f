// Package measure reads what a stretch of work cost this process and its
// children: time, processor time, peak memory.
//
//	m := measure.Start()
//	work()
//	cost := m.Stop()
//
// # Limits
//
// One meter at a time: the peak is the process's, and starting a meter resets
// it. Children count with their processor time once they have been waited
// for (not on Windows), and with their memory only on Linux, where they are
// looked at every 20 ms: one that lives shorter than that may be missed.
package measure

import (
	"runtime"
	"runtime/debug"
	"sync"
	"time"
)

// interval is how often the memory is looked at. One look costs about 50 µs
// on Linux, so the meter itself stays below half a percent of one processor.
const interval = 20 * time.Millisecond

// Cost is what a stretch of work took.
type Cost struct {
	Wall time.Duration // by the clock
	CPU  time.Duration // user and system time of this process and its children
	Peak int64         // the most memory held at once, in bytes; [PeakOf] says which

	// Queued is for how long the threads of this process could have run and had to
	// wait for a processor, background threads too; 0 where it is not known.
	Queued time.Duration
}

// A Meter measures from [Start] to [Meter.Stop].
type Meter struct {
	began  time.Time
	cpu    time.Duration
	queued time.Duration
	stop   chan struct{}
	done   sync.WaitGroup
	peak   int64 // the sampler's, until done
}

// Start collects garbage and returns what is free to the system, so that one
// measurement does not see the memory of the one before, and begins.
func Start() *Meter {
	runtime.GC()
	debug.FreeOSMemory()
	resetPeak()
	m := &Meter{stop: make(chan struct{})}
	m.done.Go(m.sample)
	m.queued = queuedTime()
	m.cpu = cpuTime()
	m.began = time.Now()
	return m
}

// Stop ends the measurement, waits for the sampler and returns the cost.
func (m *Meter) Stop() Cost {
	c := Cost{Wall: time.Since(m.began), CPU: cpuTime() - m.cpu}
	c.Queued = max(queuedTime()-m.queued, 0) // less if a thread has ended
	close(m.stop)
	m.done.Wait()
	c.Peak = max(m.peak, peakSinceReset())
	return c
}

func (m *Meter) sample() {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		m.peak = max(m.peak, memoryNow())
		select {
		case <-tick.C:
		case <-m.stop:
			return
		}
	}
}

// Used is the processor time since Start.
func (m *Meter) Used() time.Duration { return cpuTime() - m.cpu }
