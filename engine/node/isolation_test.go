package node

import (
	"testing"

	"github.com/mootchat/moot/engine/config"
	"github.com/mootchat/moot/host"
)

// TestIsolationOfAnEntry checks that the host gets the isolation of an entry.
func TestIsolationOfAnEntry(t *testing.T) {
	for setting, want := range map[string]host.Isolation{"": host.PerInstance, "instance": host.PerInstance, "call": host.PerCall} {
		if got := entryOf(config.Entry{Isolation: setting}, "").Isolation; got != want {
			t.Errorf("%q: %v", setting, got)
		}
	}
}

// TestExpiryOfAnEntry checks that the host receives the setting onExpire of an entry.
func TestExpiryOfAnEntry(t *testing.T) {
	for setting, want := range map[string]host.Expiry{"": host.RejectOnExpire, "reject": host.RejectOnExpire, "release": host.ReleaseOnExpire} {
		if got := entryOf(config.Entry{OnExpire: setting}, "").OnExpire; got != want {
			t.Errorf("%q: %v", setting, got)
		}
	}
}
