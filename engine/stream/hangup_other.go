//go:build !linux

package stream

// HungUp returns false: this system tells only a read or a write that the client is gone.
func (s *Stream) HungUp() bool { return false }
