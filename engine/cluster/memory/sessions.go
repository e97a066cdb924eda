package memory

import (
	"context"
	"fmt"
	"maps"
	"time"

	"github.com/mootchat/moot/engine/cluster"
)

// parked is a session that no node holds.
type parked struct {
	session []byte
	timer   *time.Timer // fires at the end of the session's time
}

// Park implements cluster.Sessions. It fails with cluster.ErrUnavailable on the last node,
// because the hub ends with that node.
func (n *node) Park(ctx context.Context, key string, session []byte, ttl time.Duration) error {
	return n.store(ctx, key, session, ttl, 2)
}

// Redirect implements cluster.Sessions.
func (n *node) Redirect(ctx context.Context, key string, redirect []byte, ttl time.Duration) error {
	return n.store(ctx, key, redirect, ttl, 1)
}

// store keeps a session or a redirect. It fails if fewer than nodes nodes run.
func (n *node) store(ctx context.Context, key string, session []byte, ttl time.Duration, nodes int) error {
	if _, err := n.up(ctx); err != nil {
		return err
	}
	h := n.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.nodes) < nodes {
		return fmt.Errorf("park a session: there is no other node: %w", cluster.ErrUnavailable)
	}
	if _, taken := h.parked[key]; taken {
		return fmt.Errorf("park a session: the key %q is taken", key)
	}
	h.parked[key] = parked{
		session: append(make([]byte, 0, len(session)), session...),
		timer:   time.AfterFunc(ttl, func() { h.expire(key) }),
	}
	return nil
}

// Take implements cluster.Sessions.
func (n *node) Take(ctx context.Context, key string) ([]byte, error) {
	if _, err := n.up(ctx); err != nil {
		return nil, err
	}
	p, ok := n.hub.unpark(key)
	if !ok {
		return nil, cluster.ErrNoSession
	}
	p.timer.Stop()
	return p.session, nil
}

// Each implements cluster.Sessions.
func (n *node) Each(ctx context.Context, f func(key string, session []byte)) error {
	if _, err := n.up(ctx); err != nil {
		return err
	}
	n.hub.mu.Lock()
	all := maps.Clone(n.hub.parked)
	n.hub.mu.Unlock()
	for key, p := range all {
		f(key, p.session)
	}
	return nil
}

func (h *Hub) unpark(key string) (parked, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	p, ok := h.parked[key]
	delete(h.parked, key)
	return p, ok
}

func (h *Hub) expire(key string) {
	if p, ok := h.unpark(key); ok {
		h.addLosses([]loss{{session: p.session}})
	}
}
