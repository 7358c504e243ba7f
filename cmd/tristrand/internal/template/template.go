// Package template turns a command line with {} into the command of one job.
//
// Without a shell each word stays one argument, whatever the input holds:
// spaces, newlines, quotes, bytes that are no UTF-8. With a shell the input is
// never part of the text that the shell reads: {} becomes a reference to a
// positional parameter, quoted as its place needs, and the input is passed
// beside the text. So no input can be taken for shell syntax.
package template

import (
	"errors"
	"strings"
)

// Placeholder is what the input replaces.
const Placeholder = "{}"

// A Template makes commands. It is safe for concurrent use.
type Template struct {
	args   []string
	script bool // args are sh -c text sh, and the input is the last argument
	fixed  bool // no argument has the placeholder: the input is appended
}

// New makes a template of the words of a command. Where none has a {}, the
// input is appended as the last argument.
func New(words []string) (*Template, error) {
	if len(words) == 0 || words[0] == "" {
		return nil, errors.New("there is no command to run")
	}
	t := &Template{args: words, fixed: true}
	for _, w := range words {
		if strings.Contains(w, Placeholder) {
			t.fixed = false
		}
	}
	return t, nil
}

// NewShell makes a template of shell text, the words joined by spaces, to be
// run by sh.
func NewShell(sh string, words []string) (*Template, error) {
	text := strings.Join(words, " ")
	if strings.TrimSpace(text) == "" {
		return nil, errors.New("there is no command to run")
	}
	if !strings.Contains(text, Placeholder) {
		text += " " + Placeholder
	}
	return &Template{args: []string{sh, "-c", parametric(text), sh}, script: true, fixed: true}, nil
}

// Program returns the program to run, and false if that depends on the input.
func (t *Template) Program() (string, bool) {
	return t.args[0], t.script || !strings.Contains(t.args[0], Placeholder)
}

// Expand returns the arguments for an input, the program's name first.
func (t *Template) Expand(input string) []string {
	if t.fixed {
		args := make([]string, len(t.args)+1)
		copy(args, t.args)
		args[len(t.args)] = input
		return args
	}
	args := make([]string, len(t.args))
	for i, a := range t.args {
		args[i] = strings.ReplaceAll(a, Placeholder, input)
	}
	return args
}

// parametric replaces every {} of a shell text by a reference to $1, in the
// quotes that its place asks for. A place that it takes for another one, say
// deep in "$(…)", costs a splitting at spaces at worst: the shell expands
// parameters after it has parsed.
func parametric(text string) string {
	var b strings.Builder
	quote := byte(0)
	for i := 0; i < len(text); i++ {
		c := text[i]
		if strings.HasPrefix(text[i:], Placeholder) {
			b.WriteString(reference(quote))
			i += len(Placeholder) - 1
			continue
		}
		b.WriteByte(c)
		switch {
		case c == '\\' && quote != '\'' && i+1 < len(text):
			i++
			b.WriteByte(text[i])
		case c == quote:
			quote = 0
		case quote == 0 && (c == '\'' || c == '"'):
			quote = c
		}
	}
	return b.String()
}

func reference(quote byte) string {
	switch quote {
	case '"':
		return `${1}`
	case '\'':
		return `'"${1}"'`
	}
	return `"${1}"`
}
