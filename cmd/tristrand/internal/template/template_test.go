package template_test

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/tristrand/tristrand/cmd/tristrand/internal/template"
)

func TestExpand(t *testing.T) {
	for _, row := range []struct {
		words []string
		input string
		want  []string
	}{
		{[]string{"echo"}, "a b", []string{"echo", "a b"}},
		{[]string{"echo", "x"}, "", []string{"echo", "x", ""}},
		{[]string{"mv", "{}", "{}.bak"}, "a\nb", []string{"mv", "a\nb", "a\nb.bak"}},
		{[]string{"echo", "{}{}", "-{}-"}, "{}", []string{"echo", "{}{}", "-{}-"}},
		{[]string{"{}", "--version"}, "go", []string{"go", "--version"}},
		{[]string{"echo", "{", "}"}, "\xff$(x)", []string{"echo", "{", "}", "\xff$(x)"}},
	} {
		tmpl, err := template.New(row.words)
		if err != nil {
			t.Fatal(err)
		}
		if got := tmpl.Expand(row.input); !slices.Equal(got, row.want) {
			t.Errorf("%q with %q gives %q, want %q", row.words, row.input, got, row.want)
		}
	}
}

func TestProgramIsFixedUnlessItHasThePlaceholder(t *testing.T) {
	for _, row := range []struct {
		words []string
		name  string
		fixed bool
	}{
		{[]string{"echo", "{}"}, "echo", true},
		{[]string{"./{}", "x"}, "./{}", false},
	} {
		tmpl, err := template.New(row.words)
		if err != nil {
			t.Fatal(err)
		}
		if name, fixed := tmpl.Program(); name != row.name || fixed != row.fixed {
			t.Errorf("%q: got %q, %v", row.words, name, fixed)
		}
	}
}

func TestNoCommand(t *testing.T) {
	for _, words := range [][]string{nil, {""}} {
		if _, err := template.New(words); err == nil {
			t.Errorf("New(%q) gave no error", words)
		}
		if _, err := template.NewShell("sh", words); err == nil {
			t.Errorf("NewShell(%q) gave no error", words)
		}
	}
}

// awkward are inputs that a careless shell template would run, split or lose.
var awkward = []string{"", "a", "a  b", "it's", `"`, `\`, "$(echo no)", "`echo no`", "; echo no", "*", "~", "-n",
	"a\nb", "a\n", "\t", "{}", "$1", "'\"${1}\"'", "\xff\xfe", "é", "\x01\x7f", "!x", "#x", "a=b"}

// An input is one word of the shell text, whatever quotes the placeholder is in.
func TestShellPassesTheInputUnread(t *testing.T) {
	sh := lookSh(t)
	for _, text := range []string{
		`printf '<%s>' {}`, `printf '<%s>' "{}"`, `printf '<%s>' '{}'`, `printf '<%s>'`,
		`x=it\'s; printf '<%s>' {}`, `printf '<%s>' "$(printf %s_ {})" | sed 's/_>$/>/'`, `printf "<%s>" "\"{}" | sed 's/<"/</'`,
	} {
		tmpl, err := template.NewShell(sh, []string{text})
		if err != nil {
			t.Fatal(err)
		}
		for _, input := range awkward {
			if strings.Contains(text, "sed") && (strings.ContainsAny(input, "\n \t*") || !utf8.ValidString(input)) {
				continue // sed works by lines, and $(…) in quotes is taken for its quotes
			}
			args := tmpl.Expand(input)
			out, err := exec.Command(args[0], args[1:]...).Output()
			if want := "<" + input + ">"; err != nil || strings.TrimSuffix(string(out), "\n") != strings.TrimSuffix(want, "\n") {
				t.Errorf("%s with %q prints %q, %v", text, input, out, err)
			}
		}
	}
}

func lookSh(t testing.TB) string {
	t.Helper()
	sh, err := exec.LookPath("bash") // $'…' is not in every sh yet
	if err != nil {
		t.Skip(err)
	}
	return sh
}

// What Line writes is on one line, and a shell reads it back.
func TestLineIsReadBackByAShell(t *testing.T) {
	sh := lookSh(t)
	for _, a := range awkward {
		checkLine(t, sh, []string{"printf", `%s\0`, a, "end"})
	}
}

func checkLine(t testing.TB, sh string, args []string) {
	t.Helper()
	line := template.Line(args)
	for _, r := range line {
		if r < ' ' || r == 0x7f {
			t.Fatalf("Line(%q) has a control character: %q", args, line)
		}
	}
	out, err := exec.Command(sh, "-c", line).Output()
	want := strings.Join(args[2:], "\x00") + "\x00"
	if err != nil || string(out) != want {
		t.Fatalf("Line(%q) = %s\nread back as %q, %v", args, line, out, err)
	}
}

func FuzzLine(f *testing.F) {
	sh := lookSh(f)
	for _, a := range awkward {
		f.Add(a)
	}
	f.Fuzz(func(t *testing.T, a string) {
		if !strings.Contains(a, "\x00") && len(a) < 1<<16 {
			checkLine(t, sh, []string{"printf", `%s\0`, a})
		}
	})
}
