package script

import "syscall"

// attributes: a group of its own, so that a terminal's interrupt is this process's alone to
// hear, and an end with this process.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
