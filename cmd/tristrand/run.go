package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"

	"github.com/tristrand/tristrand/cmd/tristrand/internal/batch"
	"github.com/tristrand/tristrand/cmd/tristrand/internal/halt"
	"github.com/tristrand/tristrand/cmd/tristrand/internal/launch"
	"github.com/tristrand/tristrand/coro"
	"github.com/tristrand/tristrand/thread"
)

// runCmd is "tristrand run".
type runCmd struct {
	Command []string `arg:"" optional:"" passthrough:"partial" name:"command" help:"The command, in which {} stands for the input; without {} the input becomes its last argument. After ::: come the inputs; without ::: they are the lines of standard input."`

	Jobs    int      `short:"j" placeholder:"N" help:"Jobs that run at once; 0, the default, is the number of processors."`
	Engine  string   `enum:"thread,coro,process,cluster" default:"thread" help:"Where built-in tasks run: thread, coro, process, which can be killed, or cluster. A command is a child process on any, of the workers with cluster."`
	Task    string   `placeholder:"NAME" help:"Run a built-in task instead of a command: ${tasks}."`
	Shell   bool     `help:"Have sh run the command, with pipes and variables; {} is one word of it, whatever it holds."`
	Null    bool     `short:"0" help:"Inputs on standard input end with NUL instead of newline."`
	ArgFile string   `short:"a" placeholder:"FILE" help:"Read the inputs from FILE instead of standard input."`
	Timeout duration `placeholder:"D" help:"Stop a try of a job that takes longer: 10s, 1.5m, or a number of seconds."`
	Grace   duration `default:"5s" placeholder:"D" help:"How long a job that is stopped has between SIGTERM and SIGKILL, and a task on --engine process before SIGTERM; ${default}."`
	Memory  size     `name:"memory-limit" placeholder:"SIZE" help:"Bound the memory of each process of a job: 512M, 2G, or a number of bytes."`
	Retries int      `placeholder:"N" help:"Try a failed job up to N more times, after 100 ms, then twice as long each time up to 10 s."`
	Halt    string   `placeholder:"WHEN" help:"Give up: never, or soon or now with fail, success or done and a number or percentage of jobs, as in now,fail=1 or soon,fail=10%."`

	KeepOrder bool `short:"k" help:"Print outputs in the order of the inputs."`
	Ungroup   bool `short:"u" help:"Let jobs print for themselves, at once; outputs may mix."`
	JSON      bool `name:"json" help:"Print one JSON object for each job."`
	Progress  bool `help:"Show how far the run is: a bar on a terminal, else a line each second."`
	DryRun    bool `short:"n" help:"Print the commands, one on a line as a shell reads them, and run nothing."`

	natsFlags `group:"Cluster"`
	Queue     string   `default:"default" placeholder:"NAME" help:"With --engine cluster: the queue whose workers run the jobs; ${default}."`
	Send      []string `sep:"none" placeholder:"FILE" help:"With --engine cluster: send FILE along with each job; commands run in a directory with those. May be repeated."`

	Joblog       string `placeholder:"FILE" help:"Log each finished job there, in the columns of GNU parallel."`
	Resume       bool   `help:"Leave out the jobs that are in the log, and go on with it."`
	ResumeFailed bool   `help:"As --resume, but run those that failed again."`
}

// Help is shown by "tristrand run --help".
func (*runCmd) Help() string {
	return `Examples:

  tristrand run -- gzip -9 ::: *.log
  find . -name '*.png' -print0 | tristrand run -0 -- optipng {}
  tristrand run -j 8 --timeout 30s --retries 2 -- curl -fsSO {} < urls
  tristrand run -k --shell -- 'wc -l < {} | tr -d " "' ::: *.txt
  tristrand run --joblog run.log --resume -- ./import {} < ids
  tristrand run --halt now,fail=1 -- go test {} ::: ./a ./b
  tristrand run --json --task hash ::: *.iso | jq -r .stdout

Output: what a job prints is shown in one piece when it ends, its standard output first, then its standard error; past 1 MiB it waits in an unlinked file in TMPDIR. A job is over when its process has ended and nobody holds its output open. Of a job that is tried again only the last try is shown; a job that was stopped shows nothing and counts as not run.

--engine process runs built-in tasks in worker processes, as many as jobs run at once. A task that crashes its process is a failed job with that exit code or signal, and the last words of the process; the others go on. With --timeout a task is asked to stop, and killed with all that it has started when it does not. On the other engines a task that does not heed its time-out holds the run up.

--memory-limit bounds the data of each process by itself (RLIMIT_DATA: heap and private memory, not files or shared memory), not of a job's processes together; an allocation beyond it fails. A worker may also have no more than that resident, looked at every 250 ms; it needs 64M. A command with a limit is started by sh. K, M, G and T are powers of 1024. Linux only for commands; elsewhere tasks are held to what they have resident.

--engine cluster runs commands and tasks on the workers of a cluster (see tristrand worker): those of --nats, or without that a cluster of this process alone. Of a command's output 8 MiB of each stream come back. With --send the command runs in a directory of its own with the files in it, and one of them may be the command.

Inputs: each is one argument, whatever bytes it holds; no shell sees it. With --shell {} becomes a parameter of sh, quoted in its place, so that an input is never read as shell text. After ::: standard input goes to the jobs unless it is a terminal; otherwise they read /dev/null.

--json prints {seq, input, command, exit, signal, seconds, stdout, stderr} on a line per job; tries, timed_out and error where they apply; exit is -1 where a signal or the time-out ended the job. Text that is no UTF-8 is in input_base64, stdout_base64, stderr_base64 instead. A stream longer than 1 MiB is cut there and its length is in stdout_bytes or stderr_bytes.

--resume needs the same command and the same inputs as the run that wrote the log: job 7 must have the command that line says. A torn last line is dropped and its job runs again. Without --resume the log is started anew.

Exit codes: 0 all jobs succeeded, 1-100 that many failed, 101 more did, 255 wrong usage or a failure of its own; 130 stopped by Ctrl-C, 143 by SIGTERM, 129 by SIGHUP, 141 nobody read the output. Of a job: 126 it could not be started, 127 there is no such program. With --halt …,success it is 0 once that is reached. The first Ctrl-C stops the jobs and says what was left; the second kills them.`
}

// Validate is called by kong before Run, so that these are errors of usage.
func (c *runCmd) Validate() error {
	switch {
	case c.Jobs < 0:
		return fmt.Errorf("-j %d: the number of jobs at once cannot be negative; 0 is one per processor", c.Jobs)
	case c.Jobs > maxJobs:
		return fmt.Errorf("-j %d: at most %d jobs can run at once", c.Jobs, maxJobs)
	case c.Retries < 0:
		return fmt.Errorf("--retries %d: it cannot be negative", c.Retries)
	case c.Ungroup && c.KeepOrder:
		return errors.New("--keep-order and --ungroup exclude each other: jobs that print for themselves print at once")
	case c.Ungroup && c.JSON:
		return errors.New("--json and --ungroup exclude each other: the objects hold the jobs' output")
	case (c.Resume || c.ResumeFailed) && c.Joblog == "":
		return errors.New("--resume needs the --joblog of the run to go on with")
	}
	if _, err := halt.Parse(c.Halt); err != nil {
		return err
	}
	command, args, given, err := c.split()
	switch {
	case err != nil:
		return err
	case c.Task == "" && len(command) == 0:
		return errors.New(`no command: give one, as in "tristrand run -- gzip {} ::: a b", or a --task`)
	case c.Task == "":
	case len(command) > 0:
		return fmt.Errorf("--task %s and the command %q exclude each other; inputs come after ::: or on standard input", c.Task, command[0])
	case !slices.Contains(taskNames(), c.Task):
		return fmt.Errorf("--task %s: there is none of that name; want one of %s", c.Task, strings.Join(taskNames(), ", "))
	case c.Shell:
		return errors.New("--shell is for commands, not for a --task")
	case c.Ungroup:
		return errors.New("--ungroup is for commands: a --task gives its result in one piece")
	}
	if err := c.validateMemory(); err != nil {
		return err
	}
	if err := c.validateCluster(); err != nil {
		return err
	}
	if given && (c.ArgFile != "" || c.Null) {
		return fmt.Errorf("inputs after ::: (%d of them) and -0 or --arg-file exclude each other", len(args))
	}
	return nil
}

// maxJobs is well below what the Go runtime has in threads: one waits for each
// child.
const maxJobs = 4096

// split takes the command line apart: the command, and the inputs if there are
// any after :::.
func (c *runCmd) split() (command, args []string, given bool, err error) {
	words := c.Command
	if len(words) > 0 && words[0] == "--" {
		words = words[1:]
	}
	i := slices.Index(words, ":::")
	if i < 0 {
		return words, nil, false, nil
	}
	if slices.Contains(words[i+1:], ":::") {
		return nil, nil, true, errors.New("there is more than one :::; give all inputs after one, or an input that is ::: itself on standard input")
	}
	return words[:i], words[i+1:], true, nil
}

// Run runs the jobs.
func (c *runCmd) Run(ctx context.Context) error {
	own, kill, stop := untilKilled(ctx)
	defer stop()
	counts, err := c.run(own, kill)
	return c.outcome(counts, err)
}

func (c *runCmd) run(ctx context.Context, kill <-chan struct{}) (batch.Counts, error) {
	var none batch.Counts
	policy, err := halt.Parse(c.Halt)
	if err != nil {
		return none, err
	}
	workers := c.Jobs
	if workers == 0 {
		workers = runtime.NumCPU()
	}
	if err := launch.Room(workers); err != nil {
		return none, err
	}
	in, err := c.openInputs()
	if err != nil {
		return none, err
	}
	defer in.close()
	launcher := c.launcher(in)
	defer launcher.Close()
	work, done, err := c.work(launcher, workers)
	if err != nil {
		return none, err
	}
	defer done()
	log, err := c.openLog()
	if err != nil {
		return none, err
	}
	defer log.close()

	cfg := batch.Config{
		Inputs: in.Source, Work: work,
		Executor: &thread.Pool{Name: "run", Workers: workers, Queue: workers, IdleTimeout: -1}, Workers: workers,
		Stdout: os.Stdout, Stderr: os.Stderr,
		Retries: c.Retries, KeepOrder: c.KeepOrder, Ungroup: c.Ungroup, JSON: c.JSON, DryRun: c.DryRun,
		Halt: policy, Log: log.Log, Done: log.done, RetryFailed: c.ResumeFailed,
	}
	if c.Engine == "coro" && c.Task != "" { // to wait for a command blocks, for which there are threads
		cfg.Executor = &coro.Pool{Name: "run", Workers: workers, Queue: workers}
	}
	if c.Progress && !c.DryRun {
		cfg.Progress = batch.NewProgress(os.Stderr)
	}
	return batch.Run(ctx, kill, cfg)
}
