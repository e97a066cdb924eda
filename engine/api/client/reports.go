package client

import (
	"context"
	"net/http"

	"github.com/mootchat/moot/engine/api"
	"github.com/mootchat/moot/engine/review"
)

// Reports returns all reports that a query selects, the oldest first.
func (c *Client) Reports(ctx context.Context, tenant string, q ReviewQuery) (all []api.Report, err error) {
	err = c.reviewed(ctx, Path("api", "tenants", tenant, "reports"), q, func(page *reviewPage) { all = append(all, page.Reports...) })
	return all, err
}

// Report returns a report.
func (c *Client) Report(ctx context.Context, tenant, id string) (one api.Report, err error) {
	err = c.Do(ctx, http.MethodGet, Path("api", "tenants", tenant, "reports", id), nil, &one)
	return one, err
}

// ResolveReport dismisses a report, or retracts the reported message: action is review.Dismiss or review.Retract. reason is for
// the reporters; it may be "".
func (c *Client) ResolveReport(ctx context.Context, tenant, id string, action review.Action, reason string) (one api.Report, err error) {
	err = c.Do(ctx, http.MethodPost, Path("api", "tenants", tenant, "reports", id, string(action)), api.ReportReason{Reason: reason}, &one)
	return one, err
}

// SanctionReport sets a sanction of the reported user, or of the author of the reported message.
func (c *Client) SanctionReport(ctx context.Context, tenant, id string, s api.ReportSanction) (one api.Report, err error) {
	err = c.Do(ctx, http.MethodPost, Path("api", "tenants", tenant, "reports", id, "sanction"), s, &one)
	return one, err
}
