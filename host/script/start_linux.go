package script

import "syscall"

// attributes returns the attributes of a translator: its own process group, so that an interrupt from the terminal does
// not reach it, and a signal that ends it with this process.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
