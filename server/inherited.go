package server

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
)

// firstInherited is the number of the first socket that systemd passes on.
const firstInherited = 3

// inherited are the sockets that were passed on and not taken yet. The variables
// that tell of them are read once: child processes must not believe them.
var inherited struct {
	once  sync.Once
	files []*os.File
	err   error
	sync.Mutex
}

// inheritedSources returns the sockets of a name, all for "", that whoever started
// the process passed on: LISTEN_FDS of them from 3 on, for the process LISTEN_PID, with
// the names LISTEN_FDNAMES. Each can be had once.
//
// Source: sd_listen_fds(3).
func inheritedSources(name string) (all []source, err error) {
	inherited.once.Do(func() {
		inherited.files, inherited.err = readInherited(os.Getenv, os.Getpid())
		for _, key := range []string{"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"} {
			_ = os.Unsetenv(key)
		}
	})
	if inherited.err != nil {
		return nil, inherited.err
	}
	inherited.Lock()
	defer inherited.Unlock()
	var rest []*os.File
	var errs []error
	for _, f := range inherited.files {
		if name != "" && f.Name() != name {
			rest = append(rest, f)
			continue
		}
		src, err := sourceOf(f)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		all = append(all, src)
	}
	inherited.files = rest
	if len(errs) == 0 && len(all) > 0 {
		for _, src := range all[1:] {
			if src.packets() != all[0].packets() {
				errs = append(errs, errors.New("server: streams and datagrams were passed on together: tell them apart by name"))
				break
			}
		}
	}
	switch {
	case len(errs) > 0:
		for _, src := range all {
			src.close()
		}
		return nil, errors.Join(errs...)
	case len(all) == 0 && name != "":
		return nil, fmt.Errorf("server: no socket named %q was passed on (LISTEN_FDNAMES), or it was taken already", name)
	case len(all) == 0:
		return nil, errors.New("server: no socket was passed on, or all were taken already")
	}
	return all, nil
}

func readInherited(getenv func(string) string, pid int) ([]*os.File, error) {
	text := getenv("LISTEN_FDS")
	if text == "" {
		return nil, errors.New("server: no socket was passed on: LISTEN_FDS is not set; start the program by systemd's socket activation or the like")
	}
	if p := getenv("LISTEN_PID"); p != strconv.Itoa(pid) {
		return nil, fmt.Errorf("server: the sockets were passed on to process %s (LISTEN_PID), not to this one, %d", p, pid)
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > 1<<16 {
		return nil, fmt.Errorf("server: LISTEN_FDS is %q: want the number of sockets", text)
	}
	names := strings.Split(getenv("LISTEN_FDNAMES"), ":")
	files := make([]*os.File, n)
	for i := range files {
		name := "unknown"
		if i < len(names) && names[i] != "" {
			name = names[i]
		}
		closeOnExec(firstInherited + i)
		files[i] = os.NewFile(uintptr(firstInherited+i), name)
	}
	return files, nil
}
