package web

import (
	"errors"
	"time"

	"github.com/sony/gobreaker/v2"

	"github.com/mootchat/moot/engine/ask"
)

// breaker stops requests to a service that fails.
type breaker = gobreaker.TwoStepCircuitBreaker[struct{}]

const (
	breakerWindow   = 10 * time.Second
	breakerBucket   = time.Second
	breakerMinimum  = 10 // requests in the window; with fewer the breaker stays closed
	breakerCooldown = 5 * time.Second
	breakerProbes   = 3 // requests after the cooldown: if all of them succeed, the breaker closes
)

var (
	errOpen    = &ask.Failure{Kind: ask.Open, Err: errors.New("too many of the last requests have failed: the service is asked again in some seconds")}
	errTimeout = errors.New("the time limit of the ask")
)

// breakerOf returns the breaker, which the first question makes.
func (s *service) breakerOf() *breaker {
	if b := s.breaker.Load(); b != nil {
		return b
	}
	s.breaker.CompareAndSwap(nil, gobreaker.NewTwoStepCircuitBreaker[struct{}](gobreaker.Settings{
		Interval: breakerWindow, BucketPeriod: breakerBucket, Timeout: breakerCooldown, MaxRequests: breakerProbes,
		ReadyToTrip: func(n gobreaker.Counts) bool {
			ended := n.TotalSuccesses + n.TotalFailures
			return ended >= breakerMinimum && 2*n.TotalFailures >= ended
		},
		IsExcluded: func(err error) bool { // the asker has gone, or a limit was exceeded
			_, failed := errors.AsType[*ask.Failure](err)
			return err != nil && !failed
		},
	}))
	return s.breaker.Load()
}

// open reports whether no requests, or only probes, are sent.
func (s *service) open() bool {
	b := s.breaker.Load()
	return b != nil && b.State() != gobreaker.StateClosed
}
