package client

import (
	"context"
	"net/http"
	"net/url"

	"github.com/mootchat/moot/engine/api"
)

// Sinks returns the sinks of a tenant, with what waits for them.
func (c *Client) Sinks(ctx context.Context, tenant string) ([]api.Sink, error) {
	var list struct{ Sinks []api.Sink }
	err := c.Do(ctx, http.MethodGet, Path("api", "tenants", tenant, "sinks"), nil, &list)
	return list.Sinks, err
}

// TestSink sends a test event to a sink and returns the answer of the sink.
func (c *Client) TestSink(ctx context.Context, tenant, sink string) (result api.SinkTest, err error) {
	err = c.Do(ctx, http.MethodPost, Path("api", "tenants", tenant, "sinks", sink, "test"), nil, &result)
	return result, err
}

// DeadLetters passes the dead letters of a sink to f, the oldest first. It ends with the first error of f, and returns it.
func (c *Client) DeadLetters(ctx context.Context, tenant, sink string, f func(api.DeadLetter) error) error {
	query := url.Values{"limit": {"100"}}
	for {
		var page struct {
			Dead   []api.DeadLetter
			Cursor string
		}
		if err := c.Do(ctx, http.MethodGet, Path("api", "tenants", tenant, "sinks", sink, "dead")+"?"+query.Encode(), nil, &page); err != nil {
			return err
		}
		for _, l := range page.Dead {
			if err := f(l); err != nil {
				return err
			}
		}
		if page.Cursor == "" {
			return nil
		}
		query.Set("cursor", page.Cursor)
	}
}

// MoveDeadLetters retries or drops dead letters, and returns their number. do is "retry" or "drop". places are at most 1,000 values
// of api.DeadLetter.Place; nil: all dead letters of the sink.
func (c *Client) MoveDeadLetters(ctx context.Context, tenant, sink, do string, places []string) (n int, err error) {
	for {
		var moved api.Moved
		if err := c.Do(ctx, http.MethodPost, Path("api", "tenants", tenant, "sinks", sink, "dead", do), api.Places{Places: places}, &moved); err != nil {
			return n, err
		}
		if n += moved.Moved; moved.Moved == 0 || len(places) > 0 {
			return n, nil
		}
	}
}
