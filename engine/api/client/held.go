package client

import (
	"context"
	"net/http"
	"net/url"

	"github.com/mootchat/moot/engine/api"
	"github.com/mootchat/moot/engine/review"
)

// ReviewQuery selects held messages or reports of a tenant.
type ReviewQuery struct {
	Decided bool   // those that were decided; false: those that wait
	Room    string // "": all
	User    string // the author or the reported user; "": all
}

// reviewPage is a page of held messages or reports.
type reviewPage struct {
	Held    []api.HeldMessage
	Reports []api.Report
	Cursor  string
}

// reviewed passes the pages of a query to f.
func (c *Client) reviewed(ctx context.Context, path string, q ReviewQuery, f func(*reviewPage)) error {
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
		var page reviewPage
		if err := c.Do(ctx, http.MethodGet, path+"?"+query.Encode(), nil, &page); err != nil {
			return err
		}
		f(&page)
		if page.Cursor == "" {
			return nil
		}
		query.Set("cursor", page.Cursor)
	}
}

// Held returns all held messages that a query selects, the oldest first.
func (c *Client) Held(ctx context.Context, tenant string, q ReviewQuery) (all []api.HeldMessage, err error) {
	err = c.reviewed(ctx, Path("api", "tenants", tenant, "held"), q, func(page *reviewPage) { all = append(all, page.Held...) })
	return all, err
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
