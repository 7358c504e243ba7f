//go:build !linux

package launch

// LimitsMemory says whether Launcher.MemoryLimitBytes works here.
const LimitsMemory = false

func (l *Launcher) limited(c *Command) *Command { return c }
