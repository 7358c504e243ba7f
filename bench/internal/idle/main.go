// Command idle prints how many bytes of memory are a worker's own, when it has done a
// job and has nothing to do ("pool"), or this program's ("none").
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/process"
)

var pid = tristrand.Define("idle.pid", func(context.Context, struct{}) (int, error) { return os.Getpid(), nil })

func main() {
	if len(os.Args) > 1 && os.Args[1] == "none" {
		if err := report(os.Getpid()); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	process.Main(func(ctx context.Context) error {
		p := &process.Pool{Workers: 1}
		n, err := pid.Call(ctx, p, struct{}{})
		if err != nil {
			return err
		}
		time.Sleep(time.Second) // what it keeps for a while may go
		return errors.Join(report(n), p.Close(context.WithoutCancel(ctx)))
	})
}

// report prints the private memory of a process.
func report(pid int) error {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/smaps_rollup")
	if err != nil {
		return err
	}
	sum := 0
	for line := range bytes.Lines(b) {
		if fields := strings.Fields(string(line)); strings.HasPrefix(fields[0], "Private_") {
			kib, err := strconv.Atoi(fields[1])
			if err != nil {
				return err
			}
			sum += kib << 10
		}
	}
	fmt.Println(sum)
	return nil
}
