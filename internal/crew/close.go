package crew

import (
	"context"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/strand"
)

// Close refuses new jobs and waits until those accepted are done, as an executor's
// Close does.
func (c *Crew) Close(ctx context.Context) error {
	return c.Ending.Close(ctx, &c.Mu, c.On, func() error {
		c.Refuse()
		return Drain{Empty: c.waitEmpty, Stop: c.Stop, Grace: c.Grace}.Run(ctx)
	})
}

// Refuse makes every Submit fail from now on.
func (c *Crew) Refuse() {
	c.Mu.Lock()
	c.Closing = true
	for j, stop := range c.delayed { // those that nobody waits for any more
		if isOver(j) {
			stop()
			delete(c.delayed, j)
			c.Stats.Cancelled++
		}
	}
	putters := c.Room.Shut()
	c.Changed() // unlocks
	Grant(putters)
}

// Stop drops what is queued and asks what runs to stop. It returns their names.
func (c *Crew) Stop(cause error) []string {
	c.Mu.Lock()
	dropped := c.Drop()
	c.Stats.Cancelled += uint64(len(dropped))
	var running []tristrand.Job
	for w := range c.Workers {
		if w.job != nil && !isOver(w.job) {
			running = append(running, w.job)
		}
	}
	c.Changed() // unlocks
	c.Base.End(cause)
	var names []string
	for _, j := range append(running, dropped...) {
		j.Cancel(cause)
		names = append(names, j.ID())
	}
	return names
}

// isOver reports whether a job has its outcome, although its worker may not have got
// round to saying so. One that nobody waits for has none.
func isOver(j tristrand.Job) bool {
	_, waited := j.(tristrand.Waitable)
	return waited && j.State() > tristrand.Running
}

// waitEmpty waits until no worker is left.
func (c *Crew) waitEmpty(ctx context.Context) error {
	s := strand.Enter(ctx, strand.Op{Verb: "close", On: c.On, Write: true})
	return c.Ending.Await(ctx, &c.Mu, s, c.Finished, emptied{c, s})
}

// Gone returns whom to tell, without Mu, that a worker has gone: over, to be granted,
// if it was the last of a pool that is closing, or else left, to be rechecked. The
// caller holds Mu.
func (c *Crew) Gone() (over, left []strand.Wait) {
	if c.Closing && c.Finished() {
		return c.Ending.Over(), nil
	}
	return nil, c.Ending.Waits()
}

// Recheck looks at waits again: one who could have ended them has gone.
func Recheck(waits []strand.Wait) {
	for _, w := range waits {
		w.Recheck()
	}
}

// emptied is what Close waits for: every job that runs has to end, so one that waits
// for Close in any way is enough for a deadlock.
type emptied struct {
	c  *Crew
	by *strand.Strand
}

func (e emptied) String() string { return "the end of the jobs of " + e.c.On.String() }

// Releasers returns one of the strands that have to end: the one that waits itself, if
// there is one, or else any that waits for something. One whose time will be up is
// given up some day.
func (e emptied) Releasers(buf []strand.Releaser) ([]strand.Releaser, bool) {
	e.c.Mu.Lock()
	defer e.c.Mu.Unlock()
	var stuck *strand.Strand
	for w := range e.c.Workers {
		switch {
		case w.job == nil || w.job.Limits().Timeout > 0:
		case w.Strand == e.by:
			return append(buf, strand.Releaser{Ref: e.by.Ref()}), true
		case w.Strand.Waiting() != nil && (stuck == nil || w.Strand.ID() < stuck.ID()):
			stuck = w.Strand
		}
	}
	if stuck == nil {
		return buf, false
	}
	return append(buf, strand.Releaser{Ref: stuck.Ref()}), true
}
