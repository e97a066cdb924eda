package host_test

import (
	"testing"

	"github.com/mootchat/moot/host"
	"github.com/mootchat/moot/host/storetest"
)

func TestPromises(t *testing.T) {
	storetest.Run(t, func(*testing.T) host.Store { return host.NewMemoryStore() })
}
