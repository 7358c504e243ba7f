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

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/bench/internal/measure"
	"github.com/tristrand/tristrand/process"
	"github.com/tristrand/tristrand/strand"
	"github.com/tristrand/tristrand/thread"
)

// warmJobs are done before memory is looked at.
const warmJobs = 1000

// memory looks at a process while it does very many jobs: how its live heap grows
// from the first tenth of them to the last, the most memory that it has, and what
// is left. Each run is a process of its own.
func memory(o Options) []measure.Row {
	growth := measure.Row{
		Name: "memory-growth", What: fmt.Sprintf("%d jobs through Map: growth of the live heap, per job", o.MapJobs),
		Unit: measure.Bytes, Absolute: measure.AtMost(1), ScaleName: "B",
		Ours: child(o, "Map", "map", func(f Footprint) float64 { return float64(f.Last-f.First) / (0.9 * float64(o.MapJobs)) }),
	}
	peak := measure.Row{
		Name: "memory-peak", What: fmt.Sprintf("%d jobs, all results used: peak resident memory", o.MapJobs), Unit: measure.Bytes,
		Ours: child(o, "Map", "map", func(f Footprint) float64 { return float64(f.PeakResident) }),
	}
	group := child(o, "pond-group", "pond-group", func(f Footprint) float64 { return float64(f.PeakResident) })
	rows := append([]measure.Row{growth}, against(peak, group)...)
	left := measure.Row{
		Name: "memory-left", What: fmt.Sprintf("live heap after %d jobs and Close, less that before", o.MapJobs),
		Unit: measure.Bytes, Ours: child(o, "Map", "map", func(f Footprint) float64 { return float64(f.HeapAfter - f.HeapBefore) }),
		Absolute: measure.AtMost(256), Scale: 1 << 10, ScaleName: "KiB",
	}
	return append(rows, left)
}

// A Footprint is the memory of a process that has done its work, in bytes.
type Footprint struct {
	First        int64 // live heap during the first tenth of the work, the median
	Last         int64 // and during the last
	PeakResident int64
	HeapBefore   int64 // live, after a warm-up
	HeapAfter    int64 // live, after the work and the pool's Close
}

// child makes an impl that has another process do the work.
func child(o Options, name, side string, figure func(Footprint) float64) measure.Impl {
	return measure.Impl{Name: name, N: 1, Open: func(ctx context.Context) (measure.Trial, error) {
		if _, err := resident("VmHWM"); err != nil {
			return measure.Trial{}, measure.MissingError(err.Error())
		}
		return measure.Trial{Run: func(int) (float64, error) {
			out, err := exec.CommandContext(ctx, o.Self, "-child", side, strconv.Itoa(o.MapJobs)).Output()
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
	if strings.HasPrefix(args[0], "manager-") {
		return managerChild(ctx, w, args[0], args[1])
	}
	if strings.HasPrefix(args[0], "serve-") {
		return serveChild(ctx, w, args[0])
	}
	if strings.HasPrefix(args[0], "hand-") {
		return handChild(ctx, w, args[0])
	}
	if side, ok := sides[args[0]]; ok {
		return side(ctx, w, args[1])
	}
	jobs, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	work, ok := map[string]func(context.Context, int, *Footprint) error{
		"map": mapOnce, "pond-group": pondOnce, "proc-map": mapOnWorkers,
	}[args[0]]
	if !ok {
		return fmt.Errorf("-child %s: there is no such side", args[0])
	}
	if err := work(ctx, warmJobs, new(Footprint)); err != nil {
		return err
	}
	var f Footprint
	goroutines, strands := runtime.NumGoroutine(), countStrands()
	f.HeapBefore = liveHeap()
	if err := work(ctx, jobs, &f); err != nil {
		return err
	}
	if f.PeakResident, err = resident("VmHWM"); err != nil {
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

// mapOnce collects garbage and looks at what lives, ten times in the first tenth
// of the work and ten times in the last, while the jobs that have been read ahead
// are there.
func mapOnce(ctx context.Context, jobs int, f *Footprint) error {
	return mapThrough(ctx, &thread.Pool{Workers: 2}, addOne, jobs, f)
}

func mapOnWorkers(ctx context.Context, jobs int, f *Footprint) error {
	return mapThrough(ctx, &process.Pool{Workers: procWorkers}, remoteAdd, jobs, f)
}

func mapThrough(ctx context.Context, p tristrand.Executor, task *tristrand.Task[int, int], jobs int, f *Footprint) error {
	next, every := 0, max(1, jobs/100)
	var seen []float64
	for v, err := range task.Map(ctx, p, count(jobs)) {
		if next++; err != nil || v != next {
			return wrong(v, next)
		}
		if next%every == every/2 && (next < jobs/10 || next > jobs-jobs/10) {
			seen = append(seen, float64(liveHeap()))
		}
	}
	half := len(seen) / 2
	f.First, f.Last = int64(measure.Median(seen[:half])), int64(measure.Median(seen[half:]))
	return errors.Join(p.Close(ctx), checkCount(next, jobs))
}

func pondOnce(ctx context.Context, jobs int, _ *Footprint) error {
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

// resident returns the memory that the process has, VmRSS, or the most that it
// has had, VmHWM, as the kernel counts it. For the most, getrusage will not do:
// it has in it the parent's before the exec.
func resident(what string) (int64, error) {
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, what+":"); ok {
			kib, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			return kib << 10, err
		}
	}
	return 0, fmt.Errorf("/proc/self/status has no %s", what)
}
