package script

import "syscall"

// attributes returns those of a translator: a process group of its own, so that an interrupt from the terminal does not
// reach it, and a signal that ends it with this process.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
