package batch

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"syscall"

	"github.com/tristrand/tristrand/cmd/tristrand/internal/halt"
	"github.com/tristrand/tristrand/cmd/tristrand/internal/launch"
	"github.com/tristrand/tristrand/cmd/tristrand/internal/spool"
)

// report takes a job that has ended. The worker that ran it prints it.
func (r *run) report(j *job) {
	switch {
	case j.outcome.Fatal:
		r.stop(fmt.Errorf("job %d (%s): %w", j.seq, clip(r.lineOf(j)), j.outcome.Err), halt.Now)
		fallthrough
	case j.outcome.Stopped:
		r.count(func(c *Counts) { c.Stopped++ })
		r.recycle(j)
		return
	}
	counts := r.count(func(c *Counts) {
		c.Done++
		if j.outcome.failed() {
			c.Failed++
		}
	})
	// Jobs that print for themselves fail when nobody reads them.
	if r.cfg.Ungroup && j.outcome.failed() && launch.HungUp(r.cfg.Stdout) {
		r.stop(ErrOutputClosed, halt.Now)
	}
	if how := r.cfg.Halt.After(counts.Done, counts.Failed, counts.Total); how != halt.GoOn {
		r.stop(&HaltError{r.cfg.Halt}, how)
	}
	r.printing.Lock()
	defer r.printing.Unlock()
	if r.places == nil {
		r.emit(j)
	} else if err := r.order.add(j, r.emit, r.release); err != nil {
		r.stop(err, halt.Now)
	}
	if r.cfg.Progress != nil {
		r.cfg.Progress.Show(r.count(func(*Counts) {}))
	}
}

// emit prints a job and then logs it: a run that is killed between the two
// prints that job again, and loses none.
func (r *run) emit(j *job) {
	defer r.recycle(j)
	if r.places != nil {
		<-r.places
	}
	if r.cfg.Progress != nil && r.prints(j) {
		r.cfg.Progress.Hide()
	}
	if err := r.print(j); err != nil {
		r.stop(outputError(err), halt.Now)
		return
	}
	if r.cfg.Log == nil {
		return
	}
	r.lineOf(j)
	if err := r.cfg.Log.Add(j.entry()); err != nil {
		r.stop(err, halt.Now)
	}
}

func (r *run) prints(j *job) bool {
	return j.outcome.Err != nil || (j.out != nil && j.out.Len()+j.errs.Len() > 0)
}

func (r *run) print(j *job) error {
	if j.out != nil {
		if _, err := j.out.WriteTo(r.cfg.Stdout); err != nil {
			return err
		}
		// Nothing can be told to one whose standard error is gone.
		_, _ = j.errs.WriteTo(r.cfg.Stderr)
	}
	if why := j.outcome.Err; why != nil && !r.cfg.JSON {
		r.tell("job %d (%s): %v", j.seq, clip(r.lineOf(j)), why)
	}
	return nil
}

// tell writes a line for the reader to standard error.
func (r *run) tell(format string, args ...any) {
	_, _ = fmt.Fprintf(r.cfg.Stderr, "tristrand run: "+format+"\n", args...)
}

func (r *run) lineOf(j *job) string {
	if j.line == "" {
		j.line = r.cfg.Work.Line(j.input)
	}
	return j.line
}

// clip shortens a command for a message.
func clip(line string) string {
	const most = 200
	if len(line) <= most {
		return line
	}
	return fmt.Sprintf("%s… %d bytes", strings.ToValidUTF8(line[:most], ""), len(line))
}

// flush prints what waits for jobs that will not end any more.
func (r *run) flush() {
	r.printing.Lock()
	defer r.printing.Unlock()
	r.mu.Lock()
	unread := errors.Is(r.cause, ErrOutputClosed)
	r.mu.Unlock()
	if r.places != nil && !unread {
		r.order.flush(r.emit)
	}
}

// outputError says what a failed write to standard output means.
func outputError(err error) error {
	if errors.Is(err, syscall.EPIPE) || errors.Is(err, io.ErrClosedPipe) {
		return ErrOutputClosed
	}
	return fmt.Errorf("cannot print the output of a job: %w", err)
}

// An order puts jobs into the order of their inputs.
type order struct {
	printed int // jobs up to this one are
	waiting map[int]*job
	last    int // of those waiting
	backlog spool.Backlog
}

// skip notes that there is nothing to print for a job.
func (o *order) skip(seq int, emit func(*job)) {
	o.put(seq, nil)
	o.advance(emit)
}

func (o *order) put(seq int, j *job) {
	if o.waiting == nil {
		o.waiting = make(map[int]*job)
	}
	o.waiting[seq] = j
	o.last = max(o.last, seq)
}

// advance prints the jobs whose turn it is.
func (o *order) advance(emit func(*job)) {
	for {
		next, ok := o.waiting[o.printed+1]
		if !ok {
			return
		}
		o.printed++
		delete(o.waiting, o.printed)
		if next != nil {
			emit(next)
		}
	}
}

// add prints a job, if it is its turn, and those that waited for it; otherwise
// it keeps what the job has to print, and the job's buffers are free again.
func (o *order) add(j *job, emit func(*job), free func(*streams)) error {
	o.put(j.seq, j)
	o.advance(emit)
	if _, waits := o.waiting[j.seq]; !waits || j.out == nil {
		return nil
	}
	out, err := o.backlog.Hold(j.out)
	if err != nil {
		return err
	}
	errs, err := o.backlog.Hold(j.errs)
	if err != nil {
		return err
	}
	j.out, j.errs = out, errs
	free(j.buf)
	j.buf = nil
	return nil
}

// flush prints all that wait.
func (o *order) flush(emit func(*job)) {
	for ; o.printed < o.last; o.printed++ {
		if j := o.waiting[o.printed+1]; j != nil {
			emit(j)
		}
	}
	o.waiting = nil
}
