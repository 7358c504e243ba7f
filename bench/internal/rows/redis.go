package rows

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/tristrand/tristrand/bench/internal/measure"
)

// A redis is a server of its own for a trial.
type redis struct {
	addr string
	dir  string
	cmd  *exec.Cmd
}

// startRedis starts one that writes nothing to the disk, or syncs each write before
// it answers.
func startRedis(o Options, sync bool) (*redis, error) {
	path, err := exec.LookPath("redis-server")
	if err != nil {
		return nil, measure.MissingError("redis-server is not installed; it is Debian's package of that name")
	}
	addr, err := freeLocal()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(o.Temp, "redis")
	if err != nil {
		return nil, err
	}
	_, port, _ := strings.Cut(addr, ":")
	args := []string{"--port", port, "--bind", "127.0.0.1", "--dir", dir, "--save", "", "--appendonly", "no"}
	if sync {
		args = []string{"--port", port, "--bind", "127.0.0.1", "--dir", dir, "--save", "", "--appendonly", "yes", "--appendfsync", "always"}
	}
	r := &redis{addr: addr, dir: dir, cmd: exec.Command(path, args...)}
	if err := r.cmd.Start(); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	for until := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		c, err := net.Dial("tcp", addr)
		if err == nil {
			return r, c.Close()
		}
		if time.Now().After(until) {
			return nil, errors.Join(fmt.Errorf("redis-server does not listen: %w", err), r.close())
		}
	}
}

func (r *redis) close() error {
	_ = r.cmd.Process.Kill() // there is nothing to keep
	_ = r.cmd.Wait()         // it was killed
	return os.RemoveAll(r.dir)
}

// freeLocal returns an address that nobody listens on.
func freeLocal() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// startSide starts this program as another process that says a line when it is ready.
func startSide(ctx context.Context, o Options, side, arg string) (*program, error) {
	if err := needsSelf(o); err != nil {
		return nil, err
	}
	return startProgram(ctx, o.Self, "-child", side, arg)
}
