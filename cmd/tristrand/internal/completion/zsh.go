package completion

import (
	"fmt"
	"strings"
)

// zsh renders a script for zsh 5: in a directory of fpath as _NAME, or sourced
// after compinit.
func zsh(p Program) string {
	var b strings.Builder
	fn := "_" + ident(p.Name)
	fmt.Fprintf(&b, "#compdef %s\n# zsh completion for %s. Load it with:  source <(%s completion zsh)\n", p.Name, p.Name, p.Name)
	fmt.Fprintf(&b, "%s() {\n    local context state state_descr line\n    typeset -A opt_args\n", fn)
	fmt.Fprintf(&b, "    _arguments -C \\\n%s        '1: :->command' \\\n        '*:: :->rest'\n", zshFlags(p.Flags))
	b.WriteString("    case $state in\n    command)\n        local -a commands=(\n")
	for _, c := range p.Sub {
		fmt.Fprintf(&b, "            %s\n", quote(c.Name+":"+strings.ReplaceAll(c.Help, ":", `\:`)))
	}
	b.WriteString("        )\n        _describe command commands ;;\n    rest)\n        case $line[1] in\n")
	for _, c := range p.Sub {
		action := "_files"
		if len(c.Args) > 0 {
			action = "(" + strings.Join(c.Args, " ") + ")"
		}
		fmt.Fprintf(&b, "        %s)\n            _arguments -S \\\n%s                %s ;;\n",
			c.Name, zshFlags(c.Flags), quote("*:argument:"+action))
	}
	fmt.Fprintf(&b, "        esac ;;\n    esac\n}\n")
	// Autoloaded from fpath the file is the function's body; sourced, it only
	// names the function.
	fmt.Fprintf(&b, "if [[ $zsh_eval_context[-1] == loadautofunc ]]; then\n    %s \"$@\"\nelse\n    compdef %s %s\nfi\n", fn, fn, p.Name)
	return b.String()
}

func zshFlags(fs []Flag) string {
	var b strings.Builder
	help := strings.NewReplacer(`\`, `\\`, `[`, `\[`, `]`, `\]`, `:`, `\:`)
	for _, f := range fs {
		tail := "[" + help.Replace(f.Help) + "]"
		long := "--" + f.Long
		if f.Value {
			action := "_files"
			if len(f.Values) > 0 {
				action = "(" + strings.Join(f.Values, " ") + ")"
			}
			tail += ":" + f.Long + ":" + action
			long += "="
		}
		fmt.Fprintf(&b, "                %s \\\n", quote(long+tail))
		if f.Short != "" {
			fmt.Fprintf(&b, "                %s \\\n", quote("-"+f.Short+tail))
		}
	}
	return b.String()
}
