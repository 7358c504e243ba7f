package rows

import (
	"os/exec"
	"runtime"
	"strings"
	"testing"
)

func TestLinesThatAreNotRunAreFoundOut(t *testing.T) {
	for _, tool := range []string{"sh", "xargs", "true", "echo"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skip(err)
		}
	}
	if runtime.GOOS != "linux" {
		t.Skip("page faults are counted on Linux only")
	}
	least, err := faultsOf(t.Context(), "true")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name  string
		shell string
		echo  bool
		wrong string // in the error; "" for none
	}{
		{"each run", "xargs -P 2 -n 1 true", false, ""},
		{"none run", "cat >/dev/null", false, "page faults"},
		{"a quarter run", "head -n 50 | xargs -P 2 -n 1 true", false, "page faults"},
		{"each printed", "xargs -P 2 -n 1 echo", true, ""},
		{"one printed twice", "{ echo 7; xargs -P 2 -n 1 echo; }", true, "wrong output"},
		{"one not printed", "head -n 199", true, "wrong output"},
		{"a failure", "cat >/dev/null; exit 3", true, "exit status 3"},
	} {
		t.Run(c.name, func(t *testing.T) {
			took, err := runLines(exec.CommandContext(t.Context(), "sh", "-c", c.shell), 200, c.echo, least)
			switch {
			case c.wrong == "" && (err != nil || took <= 0):
				t.Errorf("took %v, %v", took, err)
			case c.wrong != "" && (err == nil || !strings.Contains(err.Error(), c.wrong)):
				t.Errorf("got %v, want an error with %q", err, c.wrong)
			}
		})
	}
}
