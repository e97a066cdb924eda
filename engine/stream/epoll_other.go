//go:build !linux

package stream

import (
	"context"
	"errors"
)

// epoll is not on this system.
type epoll struct{}

func newEpoll() (*epoll, error) { return nil, nil }

func (*epoll) add(*Stream) bool                       { return false }
func (*epoll) arm(*Stream) error                      { return errors.ErrUnsupported }
func (*epoll) forget(*rest)                           {}
func (*epoll) poll(func(*rest))                       {}
func (*epoll) run(context.Context, func(*rest)) error { return errors.ErrUnsupported }
