//go:build !linux

package stream

import (
	"context"
	"errors"
)

// Poller waits for nothing here: each stream that rests has a goroutine.
type Poller struct{}

// NewPoller gives a nil Poller, which watches no stream.
func NewPoller(Reading) (*Poller, error) { return nil, nil }

// Watch leaves s a goroutine of its own.
func (p *Poller) Watch(*Stream) {}

// Run waits until ctx ends.
func (p *Poller) Run(ctx context.Context) error {
	<-ctx.Done()
	return nil
}

func (p *Poller) arm(*Stream) error { return errors.ErrUnsupported }
func (p *Poller) forget(*rest)      {}
