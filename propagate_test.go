package tristrand_test

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/internal/registry"
)

// A courier carries the value of one key.
type courier string

func (c courier) Inject(ctx context.Context, set func(k, v string)) {
	if v, ok := ctx.Value(c).(string); ok {
		set(string(c), v)
	}
}

func (c courier) Extract(ctx context.Context, get func(k string) string) context.Context {
	v := get(string(c))
	if v == "" {
		return nil
	}
	return context.WithValue(ctx, c, v)
}

const declareEnv = "TRISTRAND_TEST_DECLARE"

// TestDeclarations is what TestFreeze runs: what it does cannot be undone.
func TestDeclarations(t *testing.T) {
	if os.Getenv(declareEnv) == "" {
		t.Skip("run by TestFreeze, in a process of its own")
	}
	ctx := context.WithValue(context.WithValue(t.Context(), courier("a"), "1"), courier("b"), "2")
	carried := func() map[string]string {
		m := map[string]string{}
		registry.Inject(ctx, func(k, v string) { m[k] = v })
		return m
	}
	if m := carried(); len(m) != 0 || registry.Propagates() {
		t.Errorf("without a propagator %v travels", m)
	}
	tristrand.Propagate(courier("a"))
	tristrand.Propagate(courier("b"))
	tristrand.Propagate(courier("c")) // of which ctx has nothing
	m := carried()
	if len(m) != 2 || m["a"] != "1" || m["b"] != "2" || !registry.Propagates() {
		t.Errorf("with three propagators %v travels", m)
	}
	got := registry.Extract(t.Context(), func(k string) string { return m[k] })
	if got.Value(courier("a")) != "1" || got.Value(courier("b")) != "2" || got.Value(courier("c")) != nil {
		t.Errorf("what arrives is %v", got)
	}

	fn := func(_ context.Context, n int) (int, error) { return n, nil }
	tristrand.Define("test.in.time", fn)
	registry.Freeze("process.Init")
	registry.Freeze("somebody else")
	for what, do := range map[string]func(){
		`Define("test.too.late")`: func() { tristrand.Define("test.too.late", fn) },
		"Propagate":               func() { tristrand.Propagate(courier("d")) },
	} {
		text, _ := panics(do).(string)
		if !strings.HasPrefix(text, "tristrand: "+what+": ") || !strings.Contains(text, "process.Init has been called") {
			t.Errorf("%s panics with %q", what, text)
		}
	}
	if _, ok := tristrand.Lookup("test.too.late"); ok {
		t.Error("a task that was refused is defined")
	}
	if _, ok := tristrand.Lookup("test.in.time"); !ok {
		t.Error("a task that was defined in time is not found")
	}
	if err := tristrand.Func(fn).Bind(3).Call(ctx); err != nil {
		t.Error("a nameless task is refused")
	}
}

func TestFreeze(t *testing.T) {
	cmd := exec.Command(os.Args[0], "-test.run=^TestDeclarations$", "-test.v", "-test.timeout=60s") //nolint:gosec // our own binary
	cmd.Env = append(os.Environ(), declareEnv+"=1")
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "--- PASS: TestDeclarations") {
		t.Errorf("%v\n%s", err, out)
	}
	if text, _ := panics(func() { tristrand.Propagate(nil) }).(string); !strings.Contains(text, "nil") {
		t.Errorf("Propagate of nil panics with %q", text)
	}
}
