// Package completion writes shell completion scripts from the model of a
// command line, so that they can never fall behind the flags.
//
// [FromKong] reads the model; [Write] renders it for one of [Shells]. The
// scripts are static: completing a word starts no process.
package completion

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// Program is a command line with subcommands, one level deep.
type Program struct {
	Name  string
	Flags []Flag // accepted before a subcommand
	Sub   []Command
}

// Command is a subcommand.
type Command struct {
	Name, Help string
	Flags      []Flag
	Args       []string // the words its positional arguments may be; empty: files
}

// Flag is one option.
type Flag struct {
	Long, Help string
	Short      string   // "" for none
	Value      bool     // it takes a value
	Values     []string // the values it may have; empty: files
}

// Shells are the shells that [Write] knows.
func Shells() []string { return []string{"bash", "fish", "zsh"} }

// Write writes the completion script of p for shell to w.
func Write(w io.Writer, shell string, p Program) error {
	var script string
	switch shell {
	case "bash":
		script = bash(p)
	case "fish":
		script = fish(p)
	case "zsh":
		script = zsh(p)
	default:
		return fmt.Errorf("no completion for shell %q: choose one of %s", shell, strings.Join(Shells(), ", "))
	}
	_, err := io.WriteString(w, script)
	return err
}

// FromKong reads the visible commands and flags of a kong model.
func FromKong(app *kong.Application) Program {
	p := Program{Name: app.Name, Flags: flags(app.Node)}
	for _, node := range app.Children {
		if node.Hidden {
			continue
		}
		c := Command{Name: node.Name, Help: firstSentence(node.Help), Flags: flags(node)}
		for _, arg := range node.Positional {
			if arg.Enum != "" {
				c.Args = append(c.Args, arg.EnumSlice()...)
			}
		}
		for _, own := range app.Flags { // --help works after the subcommand too
			if own.Name == "help" {
				c.Flags = append(c.Flags, flag(own))
			}
		}
		p.Sub = append(p.Sub, c)
	}
	return p
}

func flags(node *kong.Node) []Flag {
	var fs []Flag
	for _, f := range node.Flags {
		if !f.Hidden {
			fs = append(fs, flag(f))
		}
	}
	return fs
}

func flag(f *kong.Flag) Flag {
	c := Flag{Long: f.Name, Help: firstSentence(f.Help), Value: !f.IsBool() && !f.IsCounter()}
	if f.Short != 0 {
		c.Short = string(f.Short)
	}
	if f.Enum != "" {
		c.Values = slices.DeleteFunc(f.EnumSlice(), func(s string) bool { return s == "" })
	}
	return c
}

// firstSentence cuts a help text to what fits beside a completion.
func firstSentence(s string) string {
	if i := strings.IndexAny(s, ".;\n"); i >= 0 && (i+1 == len(s) || s[i] != '.' || s[i+1] == ' ') {
		s = s[:i]
	}
	return strings.TrimSpace(s)
}

// words are a command's flags as they are typed.
func words(fs []Flag) []string {
	var ws []string
	for _, f := range fs {
		ws = append(ws, "--"+f.Long)
		if f.Short != "" {
			ws = append(ws, "-"+f.Short)
		}
	}
	return ws
}

// quote makes s one word in any of the shells.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
