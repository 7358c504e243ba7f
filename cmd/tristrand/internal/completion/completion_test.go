package completion_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"github.com/tristrand/tristrand/cmd/tristrand/internal/completion"
)

type grammar struct {
	Fetch struct {
		Engine string `enum:"thread,serial" default:"thread" short:"e" help:"Where it runs: here or there."`
		Out    string `type:"path" help:"The page's [file]."`
		Loud   bool   `help:"Don't be quiet."`
		Secret bool   `hidden:""`
	} `cmd:"" help:"Fetch it. Then more."`
	Shell struct {
		Name string `arg:"" enum:"bash,zsh"`
	} `cmd:"" help:"Name a shell."`
	Inner struct{} `cmd:"" hidden:""`
}

func script(t *testing.T, shell string) string {
	t.Helper()
	k, err := kong.New(&grammar{}, kong.Name("prog"))
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := completion.Write(&b, shell, completion.FromKong(k.Model)); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestEveryShellNamesEverything keeps the three renderings equal in content.
func TestEveryShellNamesEverything(t *testing.T) {
	for _, shell := range completion.Shells() {
		s := script(t, shell)
		for _, want := range []string{"fetch", "shell", "engine", "thread", "serial", "loud", "help", "bash"} {
			if !strings.Contains(s, want) {
				t.Errorf("%s: %q is missing from\n%s", shell, want, s)
			}
		}
		for _, hidden := range []string{"secret", "inner"} {
			if strings.Contains(s, hidden) {
				t.Errorf("%s: the hidden %q is offered", shell, hidden)
			}
		}
	}
}

func TestUnknownShellIsRefused(t *testing.T) {
	err := completion.Write(new(bytes.Buffer), "ed", completion.Program{Name: "prog"})
	if err == nil || !strings.Contains(err.Error(), "bash, fish, zsh") {
		t.Fatalf("err = %v, want one that lists the shells", err)
	}
}

// TestShellsParseTheScript asks each shell that is here to read its script.
func TestShellsParseTheScript(t *testing.T) {
	for _, shell := range completion.Shells() {
		t.Run(shell, func(t *testing.T) {
			path, err := exec.LookPath(shell)
			if err != nil {
				t.Skipf("no %s on this machine", shell)
			}
			file := filepath.Join(t.TempDir(), "script")
			if err := os.WriteFile(file, []byte(script(t, shell)), 0o600); err != nil {
				t.Fatal(err)
			}
			if out, err := exec.Command(path, "-n", file).CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
		})
	}
}

// TestBashCompletes types words and reads what bash would offer.
func TestBashCompletes(t *testing.T) {
	path, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("no bash on this machine")
	}
	file := filepath.Join(t.TempDir(), "script")
	if err := os.WriteFile(file, []byte(script(t, "bash")), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		typed []string // the last is the word under the cursor
		want  string
	}{
		{[]string{"prog", ""}, "fetch shell"},
		{[]string{"prog", "f"}, "fetch"},
		{[]string{"prog", "-"}, "--help -h"},
		{[]string{"prog", "fetch", "--e"}, "--engine"},
		{[]string{"prog", "fetch", "--engine", ""}, "thread serial"},
		{[]string{"prog", "fetch", "-e", "s"}, "serial"},
		{[]string{"prog", "fetch", "--engine", "=", "th"}, "thread"},
		{[]string{"prog", "fetch", "--engine", "="}, "thread serial"},
		{[]string{"prog", "fetch", "--out", "x"}, ""}, // files, by bash itself
		{[]string{"prog", "fetch", "--", "--e"}, ""},
		{[]string{"prog", "shell", ""}, "bash zsh"},
		{[]string{"prog", "shell", "--l"}, ""},
	} {
		line := `source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($#-1)); _prog; echo "${COMPREPLY[*]}"`
		args := append([]string{"-c", line, "bash", file}, row.typed...)
		out, err := exec.Command(path, args...).CombinedOutput()
		if err != nil {
			t.Fatalf("%q: %v\n%s", row.typed, err, out)
		}
		if got := strings.TrimSpace(string(out)); got != row.want {
			t.Errorf("%q offers %q, want %q", row.typed, got, row.want)
		}
	}
}
