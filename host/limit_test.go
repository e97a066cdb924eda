package host

import (
	"testing"

	"github.com/KimMachineGun/automemlimit/memlimit"
)

// TestDefaultMemoryIsAQuarterOfTheLimit checks the default limit for combinations of a cgroup and a machine.
func TestDefaultMemoryIsAQuarterOfTheLimit(t *testing.T) {
	none := func() (uint64, error) { return 0, memlimit.ErrNoLimit }
	const endless = 9223372036854771712 // of a cgroup of version 1 without a limit
	for name, c := range map[string]struct {
		cgroup, system memlimit.Provider
		want           int64
	}{
		"a cgroup below the machine":  {memlimit.Limit(2 << 30), memlimit.Limit(24 << 30), 512 << 20},
		"a cgroup above the machine":  {memlimit.Limit(64 << 30), memlimit.Limit(24 << 30), 6 << 30},
		"a cgroup without a limit":    {none, memlimit.Limit(24 << 30), 6 << 30},
		"version 1 without a limit":   {memlimit.Limit(endless), memlimit.Limit(8 << 30), 2 << 30},
		"a small cgroup":              {memlimit.Limit(100 << 20), memlimit.Limit(24 << 30), leastMemory},
		"nothing can be read":         {none, none, 1 << 30},
		"only the cgroup can be read": {memlimit.Limit(8 << 30), none, 2 << 30},
	} {
		if got := shareOf(c.cgroup, c.system); got != c.want {
			t.Errorf("%s: %d bytes, want %d", name, got, c.want)
		}
	}
}
