// Tristrand runs the same work on every engine of the library, one after
// another or the one you name:
//
//	tristrand compare              which engine suits which work, on this machine
//	tristrand run -- cmd ::: args  a command or a built-in task for every argument
//	tristrand serve :7000 -- cmd   a command or a built-in handler for every connection
//
// Every subcommand has --help with examples. Exit codes, for all of them:
//
//	0     everything was done
//	1     something failed; standard error says what
//	2     wrong usage ("run": 255)
//	130   stopped by Ctrl-C (143: by SIGTERM)
//	141   whoever read the output went away
//
// "run" has more, as GNU parallel: 1 to 100 is the number of failed jobs, 101
// more than 100, 255 wrong usage or its own failure.
package main

import (
	"os"

	"github.com/tristrand/tristrand/process"
)

func main() {
	process.Init() // a worker process of run, compare or serve does not return
	os.Exit(command(os.Args[1:], os.Stdout, os.Stderr))
}
