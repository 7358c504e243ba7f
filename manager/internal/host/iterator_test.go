package host

import (
	"errors"
	"strings"
	"testing"

	"github.com/tristrand/tristrand/internal/pickle"
)

func iterator(t *testing.T, name string, args ...any) *Iterator {
	t.Helper()
	v, err := iteratorClass.New(pickle.Global{Module: "builtins", Name: name}, args, false)
	if err != nil {
		t.Fatal(err)
	}
	return v.(*Iterator)
}

// Little that is there many times, over and over, is refused before it takes long
// or much.
func TestIteratorBombs(t *testing.T) {
	row := iterator(t, "zip", &pickle.Range{Step: 1})
	for range 60 {
		row = iterator(t, "zip", row, row)
	}
	text := strings.Repeat("A", 1<<20)
	same := make([]any, 1<<20)
	for i := range same {
		same[i] = text
	}
	lower := &pickle.Object{Class: getAttr, Args: pickle.Tuple{pickle.Global{Module: "builtins", Name: "str"}, "lower"}}
	for name, it := range map[string]*Iterator{
		"twice as long with each": row,
		"a long range":            iterator(t, "enumerate", &pickle.Range{Stop: 1 << 40, Step: 1}),
		"one text many times":     iterator(t, "map", lower, &pickle.List{Items: same}),
	} {
		_, err := it.Iterate()
		if e, ok := errors.AsType[*PythonError](err); !ok || e.Type.Name != "MemoryError" {
			t.Errorf("%s: %v, want a MemoryError", name, err)
		}
	}
	if _, err := sortKeys(same, lower, nil); err == nil {
		t.Error("keys of one text many times are made")
	}
}
