package report

import (
	"bufio"
	"cmp"
	"context"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strings"
	"time"
)

// An Environment is what the figures depend on.
type Environment struct {
	Date     time.Time         `json:"date"`
	Commit   string            `json:"commit"` // with "+dirty" if the tree had changes
	CPU      string            `json:"cpu"`
	Cores    int               `json:"cores"` // that the program may use
	Memory   string            `json:"memory,omitempty"`
	OS       string            `json:"os"`
	Arch     string            `json:"arch"`
	Kernel   string            `json:"kernel,omitempty"`
	Load     string            `json:"load,omitempty"` // averages when it began
	LoadEnd  string            `json:"load_end,omitempty"`
	Go       string            `json:"go"`
	Versions map[string]string `json:"versions"` // of peers
}

// NewEnvironment looks at the machine. What it cannot find out it leaves out.
func NewEnvironment(ctx context.Context, source string) Environment {
	e := Environment{
		Date: time.Now().UTC().Truncate(time.Second), Commit: commit(ctx, source),
		CPU: cmp.Or(field("/proc/cpuinfo", "model name"), "unknown processor"), Cores: runtime.GOMAXPROCS(0), Memory: field("/proc/meminfo", "MemTotal"),
		OS: runtime.GOOS, Arch: runtime.GOARCH, Kernel: firstLine(ctx, "uname", "-sr"),
		Load: Load(), Go: runtime.Version(), Versions: make(map[string]string),
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, m := range info.Deps {
			if m.Replace == nil {
				e.Versions[m.Path] = m.Version
			}
		}
	}
	for _, tool := range []string{"python3", "xargs", "parallel"} {
		if v := strings.Fields(firstLine(ctx, tool, "--version")); len(v) > 0 {
			e.Versions[tool] = v[len(v)-1]
		}
	}
	return e
}

// Load returns the machine's load averages, "" where there are none to read.
func Load() string {
	b, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return ""
	}
	return strings.Join(strings.Fields(string(b))[:3], " ")
}

func commit(ctx context.Context, dir string) string {
	head := firstLine(ctx, "git", "-C", dir, "rev-parse", "--short=12", "HEAD")
	if head == "" {
		return "unknown"
	}
	if firstLine(ctx, "git", "-C", dir, "status", "--porcelain") != "" {
		head += "+dirty"
	}
	return head
}

// firstLine returns the first line that a command prints, "" if it fails.
func firstLine(ctx context.Context, name string, args ...string) string {
	out, err := exec.CommandContext(ctx, name, args...).Output()
	if err != nil {
		return ""
	}
	line, _, _ := strings.Cut(string(out), "\n")
	return strings.TrimSpace(line)
}

// field returns the value after a key and a colon in a file of such lines.
func field(path, key string) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		if k, v, ok := strings.Cut(s.Text(), ":"); ok && strings.TrimSpace(k) == key {
			return strings.TrimSpace(v)
		}
	}
	return ""
}
