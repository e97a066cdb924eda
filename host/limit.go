package host

import "github.com/KimMachineGun/automemlimit/memlimit"

// leastMemory is the smallest default limit, in bytes. It holds the compiled code of a few modules and some instances.
const leastMemory = 64 << 20

// DefaultMemory returns the limit for compiled modules and instances that a host uses if none is configured: a quarter of
// the memory that the process may use, and at least 64 MiB. That memory is the smaller one of the machine's memory and
// of the limits of the process's cgroup and its parents, of version 1 or 2. It is 1 GiB where neither can be read.
func DefaultMemory() int64 { return shareOf(memlimit.FromCgroup, memlimit.FromSystem) }

// shareOf returns the limit for the memory that the sources report. A source without a limit reports an error.
func shareOf(sources ...memlimit.Provider) int64 {
	least := uint64(4 << 30)
	found := false
	for _, source := range sources {
		if n, err := source(); err == nil && n > 0 && (!found || n < least) {
			least, found = n, true
		}
	}
	return int64(max(leastMemory, least/4))
}
