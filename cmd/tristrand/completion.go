package main

import (
	"github.com/alecthomas/kong"

	"github.com/tristrand/tristrand/cmd/tristrand/internal/completion"
)

// completionCmd is "tristrand completion".
type completionCmd struct {
	Shell string `arg:"" enum:"bash,fish,zsh" help:"bash, fish or zsh."`
}

// Help is shown by "tristrand completion --help".
func (completionCmd) Help() string {
	return `The script completes subcommands, flags and the values of flags; everything else completes as files.

Examples:

  source <(tristrand completion bash)      # in ~/.bashrc
  source <(tristrand completion zsh)       # in ~/.zshrc, after compinit
  tristrand completion fish > ~/.config/fish/completions/tristrand.fish`
}

// Run prints the script.
func (c *completionCmd) Run(k *kong.Kong, s streams) error {
	program := completion.FromKong(k.Model)
	for i := range program.Sub {
		// "run" checks its --task itself, so kong's model has no list of them.
		for j, f := range program.Sub[i].Flags {
			if f.Long == "task" {
				program.Sub[i].Flags[j].Values = taskNames()
			}
		}
	}
	return completion.Write(s.out, c.Shell, program)
}
