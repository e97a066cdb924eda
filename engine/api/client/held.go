package client

import (
	"context"
	"net/http"
	"net/url"

	"github.com/mootchat/moot/engine/api"
	"github.com/mootchat/moot/engine/review"
)

// HeldQuery selects held messages of a tenant.
type HeldQuery struct {
	Decided bool   // those that were decided; false: those that wait
	Room    string // "": all
	User    string // "": all
}

// Held returns the held messages that a query selects, of all pages.
func (c *Client) Held(ctx context.Context, tenant string, q HeldQuery) (all []api.HeldMessage, err error) {
	query := url.Values{"limit": {"1000"}}
	if q.Decided {
		query.Set("decided", "true")
	}
	if q.Room != "" {
		query.Set("room", q.Room)
	}
	if q.User != "" {
		query.Set("user", q.User)
	}
	for {
		var page struct {
			Held   []api.HeldMessage
			Cursor string
		}
		if err := c.Do(ctx, http.MethodGet, Path("api", "tenants", tenant, "held")+"?"+query.Encode(), nil, &page); err != nil {
			return nil, err
		}
		all = append(all, page.Held...)
		if page.Cursor == "" {
			return all, nil
		}
		query.Set("cursor", page.Cursor)
	}
}

// HeldMessage returns a held message.
func (c *Client) HeldMessage(ctx context.Context, tenant, id string) (one api.HeldMessage, err error) {
	err = c.Do(ctx, http.MethodGet, Path("api", "tenants", tenant, "held", id), nil, &one)
	return one, err
}

// DecideHeld releases or rejects a held message. reason is for the author; it may be "".
func (c *Client) DecideHeld(ctx context.Context, tenant, id string, action review.Action, reason string) (one api.HeldMessage, err error) {
	err = c.Do(ctx, http.MethodPost, Path("api", "tenants", tenant, "held", id, string(action)), api.HeldReason{Reason: reason}, &one)
	return one, err
}
