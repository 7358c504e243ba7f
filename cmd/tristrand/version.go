package main

import (
	"encoding/json"
	"fmt"
	"runtime"
	"runtime/debug"
)

// versionCmd is "tristrand version".
type versionCmd struct {
	JSON bool `name:"json" help:"As one JSON object: version, revision, go, os, arch."`
}

// Help is shown by "tristrand version --help".
func (versionCmd) Help() string {
	return `Examples:

  tristrand version
  tristrand version --json`
}

// Run prints the version.
func (c *versionCmd) Run(s streams) error {
	if !c.JSON {
		_, err := fmt.Fprintln(s.out, versionLine())
		return err
	}
	return json.NewEncoder(s.out).Encode(readVersion())
}

// version is what the command knows about its own build.
type version struct {
	Version  string `json:"version"`            // the module's version, "(devel)" when built from a work tree
	Revision string `json:"revision,omitempty"` // the commit, with "+dirty" when the tree had changes
	Go       string `json:"go"`
	OS       string `json:"os"`
	Arch     string `json:"arch"`
}

func readVersion() version {
	v := version{Version: "(devel)", Go: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	if info.Main.Version != "" {
		v.Version = info.Main.Version
	}
	dirty := false
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			v.Revision = s.Value[:min(12, len(s.Value))]
		case "vcs.modified":
			dirty = s.Value == "true"
		}
	}
	if dirty && v.Revision != "" {
		v.Revision += "+dirty"
	}
	return v
}

func versionLine() string {
	v := readVersion()
	line := "tristrand " + v.Version
	if v.Revision != "" {
		line += " (" + v.Revision + ")"
	}
	return fmt.Sprintf("%s %s %s/%s", line, v.Go, v.OS, v.Arch)
}
