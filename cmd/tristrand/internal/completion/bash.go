package completion

import (
	"fmt"
	"strings"
)

// bash renders a script for bash 4 and newer (and the bash 3.2 of macOS).
func bash(p Program) string {
	var b strings.Builder
	fn := "_" + ident(p.Name)
	fmt.Fprintf(&b, "# bash completion for %s. Load it with:  source <(%s completion bash)\n", p.Name, p.Name)
	fmt.Fprintf(&b, `%s() {
    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} sub= words= i
    COMPREPLY=()
    # "--flag=value" arrives as three words, because "=" breaks words.
    if [[ $cur == "=" ]]; then
        cur=
    elif [[ $prev == "=" ]]; then
        prev=${COMP_WORDS[COMP_CWORD-2]}
    fi
    for ((i = 1; i < COMP_CWORD; i++)); do
        case ${COMP_WORDS[i]} in
        --) return ;; # what follows is not ours to complete
        -*) ;;
        *) [[ -n $sub ]] || sub=${COMP_WORDS[i]} ;;
        esac
    done
    case "$sub $prev" in
`, fn)
	for _, c := range p.Sub {
		for _, f := range c.Flags {
			if !f.Value {
				continue
			}
			pattern := fmt.Sprintf("%q", c.Name+" --"+f.Long)
			if f.Short != "" {
				pattern += fmt.Sprintf("|%q", c.Name+" -"+f.Short)
			}
			fmt.Fprintf(&b, "    %s) COMPREPLY=($(compgen -W %s -- \"$cur\")); return ;;\n",
				pattern, quote(strings.Join(f.Values, " ")))
		}
	}
	b.WriteString("    esac\n    case $sub in\n")
	var names []string
	for _, c := range p.Sub {
		names = append(names, c.Name)
		fmt.Fprintf(&b, "    %s) words=%s ;;\n", c.Name, quote(strings.Join(append(words(c.Flags), c.Args...), " ")))
	}
	fmt.Fprintf(&b, "    '') words=%s ;;\n    esac\n", quote(strings.Join(append(names, words(p.Flags)...), " ")))
	// A flag only when a dash was typed: otherwise files, which "-o default"
	// adds when there is no match.
	b.WriteString(`    if [[ $cur != -* ]]; then
        local w plain=
        for w in $words; do [[ $w == -* ]] || plain+=" $w"; done
        words=$plain
    fi
    COMPREPLY=($(compgen -W "$words" -- "$cur"))
}
`)
	fmt.Fprintf(&b, "complete -o bashdefault -o default -F %s %s\n", fn, p.Name)
	return b.String()
}

func ident(s string) string { return strings.ReplaceAll(s, "-", "_") }
