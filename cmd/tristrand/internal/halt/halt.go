// Package halt decides when a run gives up, in the words of GNU parallel's
// --halt:
//
//	never                 run everything (the default)
//	soon,fail=3           after 3 failed jobs start no more, let the running ones end
//	now,fail=1            after the first failed job, stop the running ones too
//	now,success=1         likewise after the first job that succeeds
//	soon,done=10          likewise after 10 jobs, however they ended
//	soon,fail=20%         when 20 % of all jobs have failed
//
// The short forms 0, 1 and 2 stand for never, soon,fail=1 and now,fail=1; 20%
// for soon,fail=20%.
package halt

import (
	"fmt"
	"strconv"
	"strings"
)

// Action is what a policy asks for.
type Action int

// What to do after a job.
const (
	GoOn Action = iota
	Soon        // start no more
	Now         // and stop what runs
)

// A Policy is a parsed --halt. The zero value never halts.
type Policy struct {
	when    Action
	why     string
	count   int
	percent bool
}

const forms = `"never", or "soon" or "now" with a reason, as in "soon,fail=3" or "now,success=10%"`

// Parse reads a policy; "" is never.
func Parse(s string) (Policy, error) {
	switch s {
	case "", "0", "never":
		return Policy{}, nil
	case "1":
		s = "soon,fail=1"
	case "2":
		s = "now,fail=1"
	}
	if strings.HasSuffix(s, "%") && !strings.Contains(s, ",") {
		s = "soon,fail=" + s
	}
	when, rest, _ := strings.Cut(s, ",")
	why, count, _ := strings.Cut(rest, "=")
	p := Policy{why: why}
	switch when {
	case "soon":
		p.when = Soon
	case "now":
		p.when = Now
	default:
		return Policy{}, fmt.Errorf("--halt %q: want %s", s, forms)
	}
	switch why {
	case "fail", "success", "done":
	default:
		return Policy{}, fmt.Errorf("--halt %q: the reason is %q; want fail, success or done, as in \"%s,fail=1\"", s, why, when)
	}
	number, percent := strings.CutSuffix(count, "%")
	n, err := strconv.Atoi(number)
	if err != nil || n < 1 || (percent && n > 100) {
		return Policy{}, fmt.Errorf("--halt %q: %q is no number of jobs from 1 and no percentage from 1%% to 100%%", s, count)
	}
	p.count, p.percent = n, percent
	return p, nil
}

// NeedsTotal reports whether the number of all jobs must be known.
func (p Policy) NeedsTotal() bool { return p.percent }

// OnSuccess reports whether reaching the policy is what the caller hoped for.
func (p Policy) OnSuccess() bool { return p.why == "success" }

// String returns the policy as it is written.
func (p Policy) String() string {
	if p.when == GoOn {
		return "never"
	}
	s := map[Action]string{Soon: "soon", Now: "now"}[p.when] + "," + p.why + "=" + strconv.Itoa(p.count)
	if p.percent {
		s += "%"
	}
	return s
}

// After says what to do when done jobs of total have ended, failed of them
// badly.
func (p Policy) After(done, failed, total int) Action {
	var n int
	switch {
	case p.when == GoOn:
		return GoOn
	case p.why == "fail":
		n = failed
	case p.why == "success":
		n = done - failed
	default:
		n = done
	}
	if p.percent {
		if n*100 < p.count*total || n == 0 {
			return GoOn
		}
	} else if n < p.count {
		return GoOn
	}
	return p.when
}
