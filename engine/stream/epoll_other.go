//go:build !linux

package stream

import (
	"context"
	"errors"
)

// epoll does not exist on this system.
type epoll struct{}

func newEpoll() (*epoll, error) { return nil, nil }

func (*epoll) add(*Stream) bool                         { return false }
func (*epoll) arm(*Stream) error                        { return errors.ErrUnsupported }
func (*epoll) forget(*waiter)                           {}
func (*epoll) poll(func(*waiter))                       {}
func (*epoll) run(context.Context, func(*waiter)) error { return errors.ErrUnsupported }
