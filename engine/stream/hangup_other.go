//go:build !linux

package stream

// HungUp returns false: on this system only a read or a write reports that the client
// is gone.
func (s *Stream) HungUp() bool { return false }
