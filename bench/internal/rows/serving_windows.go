package rows

import "os/exec"

func ownGroup(*exec.Cmd)   {}
func killGroup(*exec.Cmd)  {}
func descriptorLimit() int { return 1 << 20 }
