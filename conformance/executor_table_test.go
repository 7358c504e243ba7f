package conformance

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestEveryExecutorBehaviourHasARuleOrAReason(t *testing.T) {
	all := suites()
	for _, er := range executorRules() {
		all["Executor"] = append(all["Executor"], er.name)
	}
	all["."] = testsOf(t, "..")
	all["thread"] = testsOf(t, "../thread")
	seen := map[string]bool{}
	for _, b := range ExecutorBehaviours() {
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
	for prefix, n := range map[string]int{"FU": 21, "EX": 37, "PO": 19, "PP": 26, "TH": 41} {
		for i := range n {
			id := fmt.Sprintf("%s%02d", prefix, i+1)
			if !seen[id] {
				t.Errorf("%s is missing", id)
			}
			delete(seen, id)
		}
	}
	if len(seen) > 0 {
		t.Errorf("unknown ids: %v", seen)
	}
}

func TestExecutorRulesHaveNamesOfTheirOwn(t *testing.T) {
	seen := map[string]bool{}
	for _, er := range executorRules() {
		if seen[er.name] || er.name == "" || er.clause == "" || er.check == nil {
			t.Errorf("the rule %q (%s) is there twice or not whole", er.name, er.clause)
		}
		seen[er.name] = true
	}
}

// testsOf returns the names of the tests in a folder.
func testsOf(t *testing.T, dir string) (names []string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && strings.HasPrefix(fn.Name.Name, "Test") {
				names = append(names, fn.Name.Name)
			}
		}
	}
	return names
}
