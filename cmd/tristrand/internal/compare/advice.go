package compare

import (
	"fmt"
	"runtime"
	"strings"

	"github.com/tristrand/tristrand/cmd/tristrand/internal/timeline"
)

// Where a task that runs alone is busy for less than waits of its time it
// mostly waits, above computes it mostly computes.
const (
	waits    = 0.4
	computes = 0.75
	little   = 1.15 // a speed-up below this is not worth an engine
	failing  = 10   // when more than one in so many jobs fails, times mean nothing
	short    = 1e-4 // seconds below which the hand-over of a job weighs
	near     = 0.9  // engines within this share of the fastest are as good
	crowded  = 0.4  // of its time without a processor, and others have used the machine
	glance   = 0.01 // seconds that are too few to tell that by
)

// advice says in a sentence which engine suits the task, going by its runs
// alone.
func advice(t *Task) string {
	serial := t.Runs[0]
	if serial.Seconds <= 0 {
		return t.Name + ": nothing was measured."
	}
	busy := serial.CPU / serial.Seconds
	if share := serial.queued / serial.Seconds; share > crowded && busy < computes && serial.Seconds > glance {
		return fmt.Sprintf("%s cannot be judged: the machine was busy with other work (alone it waited for a processor for %.0f %% of its time); try again when that is done.", t.Name, 100*min(share, 1))
	}
	nature := fmt.Sprintf("%s waits and computes (%.0f %% of one processor)", t.Name, 100*busy)
	switch {
	case busy < waits:
		nature = fmt.Sprintf("%s mostly waits (%.0f %% of one processor)", t.Name, 100*busy)
	case busy > computes:
		nature = fmt.Sprintf("%s keeps a processor busy", t.Name)
	}
	if serial.Errors*failing > t.Inputs {
		return fmt.Sprintf("%s: %d of %d jobs failed, so its times say little; first: %s.", t.Name, serial.Errors, t.Inputs, firstError(serial))
	}
	best, names := fastest(t.Runs[1:], serial.Errors)
	switch {
	case best == nil && len(t.Runs) > 1:
		return nature + "; every engine failed jobs that serial did not, so look at the errors first."
	case best == nil:
		return nature + "."
	case best.Speedup < little && serial.Seconds < short*float64(t.Inputs):
		return fmt.Sprintf("%s, but its jobs are too short to be worth handing over (%s each): call it directly.",
			nature, timeline.Short(seconds(serial.Seconds/float64(t.Inputs))))
	case best.Speedup < little:
		return nature + "; no engine gains much here: call it directly."
	case busy < waits:
		return fmt.Sprintf("%s: %s, %s faster, because the waits overlap; more workers overlap more.", nature, names, times(best.Speedup))
	case busy > computes:
		return fmt.Sprintf("%s: %s, %s faster on %s; more workers than processors gain nothing.",
			nature, names, times(best.Speedup), count(runtime.NumCPU(), "processor"))
	default:
		return fmt.Sprintf("%s: %s, %s faster.", nature, names, times(best.Speedup))
	}
}

// fastest returns the fastest run with no more errors than allowed, and the
// names of all that come close to it.
func fastest(runs []*Measurement, allowed int) (best *Measurement, names string) {
	for _, m := range runs {
		if m.Errors <= allowed && (best == nil || m.Seconds < best.Seconds) {
			best = m
		}
	}
	if best == nil {
		return nil, ""
	}
	var good []string
	for _, m := range runs {
		if m.Errors <= allowed && best.Seconds >= near*m.Seconds {
			good = append(good, m.Engine)
		}
	}
	return best, "use " + strings.Join(good, " or ")
}

func firstError(m *Measurement) string {
	for _, j := range m.Jobs {
		if j.Error != "" {
			return strings.TrimSuffix(line(j.Error, 120), ".")
		}
	}
	return ""
}

// count writes a number with its noun.
func count(n int, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return fmt.Sprintf("%d %s", n, noun)
}

// line makes one line of s, cut after n characters.
func line(s string, n int) string {
	s = strings.Join(strings.Fields(strings.ToValidUTF8(s, "\uFFFD")), " ")
	if r := []rune(s); len(r) > n {
		return string(r[:n-1]) + "…"
	}
	return s
}
