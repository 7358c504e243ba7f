package conformance

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

func names[M any](rules []rule[M]) (list []string) {
	for _, rl := range rules {
		list = append(list, rl.name)
	}
	return list
}

// suites returns the rules of every suite of primitives.
func suites() map[string][]string {
	return map[string][]string{
		"Lock":             names(append(lockerRules(), lockRules()...)),
		"RLock":            names(append(lockerRules(), rlockRules()...)),
		"Semaphore":        names(append(semaphoreCommonRules(), semaphoreRules()...)),
		"BoundedSemaphore": names(append(semaphoreCommonRules(), boundedSemaphoreRules()...)),
		"Event":            names(eventRules()),
		"Condition":        names(conditionRules()),
		"Barrier":          names(barrierRules()),
		"Queue":            names(itemRules(fifo)),
		"LIFO":             names(itemRules(lifo)),
		"Priority":         names(itemRules(priority)),
	}
}

func TestEveryBehaviourHasARuleOrAReason(t *testing.T) {
	all := suites()
	seen := map[string]bool{}
	for _, b := range Behaviours() {
		if seen[b.ID] {
			t.Errorf("%s is listed twice", b.ID)
		}
		seen[b.ID] = true
		if b.What == "" || len(b.Rules) == 0 && b.LeftOut == "" {
			t.Errorf("%s has neither a rule nor a reason", b.ID)
		}
		for _, ref := range b.Rules {
			suite, name, _ := strings.Cut(ref, ": ")
			if !slices.Contains(all[suite], name) {
				t.Errorf("%s: there is no rule %q", b.ID, ref)
			}
		}
	}
	for _, group := range []struct {
		prefix string
		n      int
	}{{"LK", 46}, {"QU", 20}, {"GQ", 8}} {
		for i := range group.n {
			if id := fmt.Sprintf("%s%02d", group.prefix, i+1); !seen[id] {
				t.Errorf("%s is missing", id)
			}
			delete(seen, fmt.Sprintf("%s%02d", group.prefix, i+1))
		}
	}
	if len(seen) > 0 {
		t.Errorf("unknown ids: %v", seen)
	}
}

func TestRulesHaveNamesOfTheirOwn(t *testing.T) {
	for suite, list := range suites() {
		slices.Sort(list)
		if n := len(slices.Compact(slices.Clone(list))); n != len(list) {
			t.Errorf("%s: %d names for %d rules: %q", suite, n, len(list), list)
		}
	}
}
