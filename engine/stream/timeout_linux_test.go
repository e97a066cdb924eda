package stream

import (
	"testing"

	"golang.org/x/sys/unix"
)

func TestSocketOptions(t *testing.T) {
	s, _ := pair(t, "")
	err := s.out.raw.Control(func(fd uintptr) {
		for name, c := range map[string]struct{ option, want int }{
			"TCP_USER_TIMEOUT": {unix.TCP_USER_TIMEOUT, 20_000},
			"TCP_NODELAY":      {unix.TCP_NODELAY, 1},
		} {
			if got, err := unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, c.option); err != nil || got != c.want {
				t.Errorf("%s is %d, %v, want %d", name, got, err, c.want)
			}
		}
	})
	if err != nil {
		t.Error(err)
	}
}
