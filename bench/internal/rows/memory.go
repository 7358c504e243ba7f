package rows

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/tristrand/tristrand/bench/internal/measure"
	"github.com/tristrand/tristrand/strand"
	"github.com/tristrand/tristrand/thread"
)

// warmJobs are done before memory is looked at.
const warmJobs = 1000

// memory compares the most memory that a process has had when it has done very
// many jobs with that of one that has done a tenth of them, and looks at what is
// left. Each run is a process of its own.
func memory(o Options) []measure.Row {
	few := o.MapJobs / 10
	what := fmt.Sprintf("peak resident memory of %d jobs through Map", o.MapJobs)
	row := measure.Row{
		Name: "memory", What: what, Unit: measure.Bytes,
		Ours: peak(o, "Map", "map", o.MapJobs),
	}
	flat := row
	flat.What, flat.Bound = what+fmt.Sprintf(", against %d", few), measure.AtMost(1.25)
	rows := against(flat, peak(o, "Map-tenth", "map", few))
	rows = append(rows, against(row, peak(o, "pond-group", "pond-group", o.MapJobs))...)
	left := measure.Row{
		Name: "memory-left", What: fmt.Sprintf("live heap after %d jobs and Close, less that before", o.MapJobs),
		Unit: measure.Bytes, Ours: child(o, "Map", "map", o.MapJobs, func(f Footprint) float64 { return float64(f.HeapAfter - f.HeapBefore) }),
		Absolute: measure.AtMost(256), Scale: 1 << 10, ScaleName: "KiB",
	}
	return append(rows, left)
}

// A Footprint is the memory of a process that has done its work.
type Footprint struct {
	PeakResident int64 // bytes
	HeapBefore   int64 // live, after a warm-up
	HeapAfter    int64 // live, after the work and the pool's Close
}

func peak(o Options, name, side string, jobs int) measure.Impl {
	return child(o, name, side, jobs, func(f Footprint) float64 { return float64(f.PeakResident) })
}

// child makes an impl that has another process do the work.
func child(o Options, name, side string, jobs int, figure func(Footprint) float64) measure.Impl {
	return measure.Impl{Name: name, N: 1, Open: func(ctx context.Context) (measure.Trial, error) {
		if _, err := peakResident(); err != nil {
			return measure.Trial{}, measure.Missing(err.Error())
		}
		return measure.Trial{Run: func(int) (float64, error) {
			out, err := exec.CommandContext(ctx, o.Self, "-child", side, strconv.Itoa(jobs)).Output()
			if exit := new(exec.ExitError); errors.As(err, &exit) {
				err = fmt.Errorf("%w: %s", err, strings.TrimSpace(string(exit.Stderr)))
			}
			if err != nil {
				return 0, err
			}
			var f Footprint
			if err := json.Unmarshal(out, &f); err != nil {
				return 0, err
			}
			return figure(f), nil
		}}, nil
	}}
}

// Child does the work of a side in this process and writes its Footprint. It is
// an error if strands or goroutines are left.
func Child(ctx context.Context, w io.Writer, args []string) error {
	if len(args) != 2 {
		return fmt.Errorf("-child %q: want a side and a number of jobs", args)
	}
	jobs, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	work, ok := map[string]func(context.Context, int) error{"map": mapOnce, "pond-group": pondOnce}[args[0]]
	if !ok {
		return fmt.Errorf("-child %s: there is no such side", args[0])
	}
	if err := work(ctx, warmJobs); err != nil {
		return err
	}
	var f Footprint
	goroutines, strands := runtime.NumGoroutine(), countStrands()
	f.HeapBefore = liveHeap()
	if err := work(ctx, jobs); err != nil {
		return err
	}
	if f.PeakResident, err = peakResident(); err != nil {
		return err
	}
	f.HeapAfter = liveHeap()
	if n := countStrands(); n > strands {
		return fmt.Errorf("%d strands are left, %d were there before", n, strands)
	}
	if n := settled(goroutines); n > goroutines {
		return fmt.Errorf("%d goroutines are left, %d were there before", n, goroutines)
	}
	return json.NewEncoder(w).Encode(f)
}

func mapOnce(ctx context.Context, jobs int) error {
	p := &thread.Pool{Workers: 2}
	next := 0
	for v, err := range addOne.Map(ctx, p, count(jobs)) {
		if next++; err != nil || v != next {
			return wrong(v, next)
		}
	}
	return errors.Join(p.Close(ctx), checkCount(next, jobs))
}

func pondOnce(ctx context.Context, jobs int) error {
	t, err := pondGroup().Open(ctx)
	if err == nil {
		_, err = t.Run(jobs)
	}
	return err
}

func countStrands() int {
	n := 0
	for range strand.All() {
		n++
	}
	return n
}

// settled waits until no more than want goroutines are left, for a while: one
// that has told that it is done takes a moment to end.
func settled(want int) int {
	for range 1000 {
		if runtime.NumGoroutine() <= want {
			break
		}
		time.Sleep(time.Millisecond)
	}
	return runtime.NumGoroutine()
}

func liveHeap() int64 {
	runtime.GC()
	runtime.GC() // pools of the first are let go by the second
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// peakResident returns the most memory that the process has had, as the kernel
// counts it. Its own count is used, not that of getrusage, which has in it the
// parent's before the exec.
func peakResident() (int64, error) {
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(b)) {
		var kib int64
		if _, err := fmt.Sscanf(line, "VmHWM: %d kB", &kib); err == nil {
			return kib << 10, nil
		}
	}
	return 0, errors.New("/proc/self/status has no VmHWM")
}
