package completion

import (
	"fmt"
	"strings"
)

// fish renders a script for fish 3 and newer.
func fish(p Program) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# fish completion for %s. Load it with:  %s completion fish | source\n", p.Name, p.Name)
	for _, f := range p.Flags {
		fmt.Fprintf(&b, "complete -c %s -n __fish_use_subcommand%s\n", p.Name, fishFlag(f))
	}
	for _, c := range p.Sub {
		fmt.Fprintf(&b, "complete -c %s -n __fish_use_subcommand -f -a %s -d %s\n", p.Name, c.Name, fishQuote(c.Help))
		seen := fmt.Sprintf("-n '__fish_seen_subcommand_from %s'", c.Name)
		for _, f := range c.Flags {
			fmt.Fprintf(&b, "complete -c %s %s%s\n", p.Name, seen, fishFlag(f))
		}
		if len(c.Args) > 0 {
			fmt.Fprintf(&b, "complete -c %s %s -f -a %s\n", p.Name, seen, fishQuote(strings.Join(c.Args, " ")))
		}
	}
	return b.String()
}

func fishFlag(f Flag) string {
	s := " -l " + f.Long
	if f.Short != "" {
		s += " -s " + f.Short
	}
	switch {
	case len(f.Values) > 0:
		s += " -x -a " + fishQuote(strings.Join(f.Values, " "))
	case f.Value:
		s += " -r"
	}
	return s + " -d " + fishQuote(f.Help)
}

// fishQuote quotes for fish, where \ and ' are escaped inside single quotes.
func fishQuote(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(s) + "'"
}
