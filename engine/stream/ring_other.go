//go:build !linux

package stream

import "errors"

// Ring sends to several sockets with one system call. This system has no such call.
type Ring struct{}

// NewRing returns an error.
func NewRing(int) (*Ring, error) { return nil, errors.ErrUnsupported }

// Send is never called.
func (r *Ring) Send([]int32, [][]byte, []int32) {}

// Close does nothing.
func (r *Ring) Close() error { return nil }
