//go:build !unix

package nodetest

import (
	"os"
	"os/exec"
	"syscall"
)

// ownGroup does nothing, because the system has no process groups.
func ownGroup(*exec.Cmd) {}

func signalGroup(p *os.Process, signal syscall.Signal) error { return p.Signal(signal) }
