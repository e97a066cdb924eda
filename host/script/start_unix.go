//go:build unix && !linux

package script

import "syscall"

// attributes returns the attributes of a translator: its own process group, so that an interrupt from the terminal does
// not reach it. The translator ends with this process because its input ends.
func attributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
