package enginetest

import (
	"errors"
	"runtime"
	"syscall"
	"testing"

	"github.com/mootchat/moot/engine/fanout"
	"github.com/mootchat/moot/engine/stream"
)

// Rings returns the rings for [engine.Config.Rings], or nil where the kernel or a container forbids io_uring: a node then writes
// without rings, and so does the test.
func Rings(t testing.TB) (rings []fanout.Ring) {
	t.Helper()
	for range runtime.GOMAXPROCS(0) {
		r, err := stream.NewRing(fanout.RingSize)
		if errors.Is(err, syscall.ENOSYS) || errors.Is(err, syscall.EPERM) || errors.Is(err, errors.ErrUnsupported) {
			t.Logf("io_uring cannot be tested here: %v", err)
			return nil
		}
		if err != nil {
			t.Fatal(err)
		}
		rings = append(rings, r)
	}
	return rings
}
