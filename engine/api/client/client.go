// Package client is a client of the server API.
package client

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/mootchat/moot/engine/api"
	"github.com/mootchat/moot/engine/millis"
	"github.com/mootchat/moot/host/report"
)

// Client is a client of one node. Its methods may be called concurrently.
type Client struct {
	base string
	key  string
	http http.Client
}

// timeout allows for the compilation of modules during a reload.
const timeout = time.Minute

// New returns a client of the node at base, such as "http://127.0.0.1:9090".
func New(base, key string) (*Client, error) {
	u, err := url.Parse(base)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("%q is not a URL such as http://127.0.0.1:9090", base)
	}
	c := &Client{base: strings.TrimSuffix(base, "/"), key: key}
	c.http.Timeout = timeout
	c.http.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse } // the key must not be sent to another server
	return c, nil
}

// Path returns the path of an endpoint, with each segment escaped.
func Path(segments ...string) string {
	var b strings.Builder
	for _, s := range segments {
		s = url.PathEscape(s)
		if s == "." || s == ".." { // the server would normalize them
			s = strings.ReplaceAll(s, ".", "%2E")
		}
		b.WriteString("/" + s)
	}
	return b.String()
}

// maxAnswer is the limit of an answer, in bytes.
const maxAnswer = 64 << 20

// Do sends a request to a path of [Path], which may have a query, with body as JSON, and decodes the answer into
// out. body and out may be nil. An error in the answer is an *api.Fault.
func (c *Client) Do(ctx context.Context, method, path string, body, out any) error {
	var sent io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return err
		}
		sent = bytes.NewReader(text)
	}
	r, err := http.NewRequestWithContext(ctx, method, c.base+path, sent)
	if err != nil {
		return err
	}
	r.Header.Set("Authorization", "Bearer "+c.key)
	if sent != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	answer, err := c.http.Do(r)
	if errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("no server API at %s: start the server, or name its admin address with --url or MOOT_ADMIN_URL: %w", c.base, err)
	}
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
	switch {
	case err != nil:
		return err
	case answer.StatusCode >= 300:
		return faultOf(answer, text)
	case out == nil:
		return nil
	}
	return json.Unmarshal(text, out)
}

func faultOf(answer *http.Response, text []byte) error {
	f := &api.Fault{Status: answer.StatusCode}
	if json.Unmarshal(text, f) != nil || f.What.Code == "" {
		return fmt.Errorf("the server answered %s, which is not an answer of Moot's server API: check the URL", answer.Status)
	}
	return f
}

// Code returns the code of an *api.Fault; "" for other errors.
func Code(err error) string {
	if f, ok := errors.AsType[*api.Fault](err); ok {
		return f.What.Code
	}
	return ""
}

// Nodes returns all nodes of the cluster and the name of the node that answered.
func (c *Client) Nodes(ctx context.Context) (self string, nodes []api.Node, err error) {
	var out struct {
		Self  string
		Nodes []api.Node
	}
	err = c.Do(ctx, http.MethodGet, "/api/nodes", nil, &out)
	return out.Self, out.Nodes, err
}

// Usage returns what the modules of all nodes use, with the tenants that cost most.
func (c *Client) Usage(ctx context.Context, q report.UsageQuery) (u api.Usage, err error) {
	query := url.Values{"top": {strconv.Itoa(q.Top)}}
	if q.By != "" {
		query.Set("by", q.By)
	}
	err = c.Do(ctx, http.MethodGet, "/api/usage?"+query.Encode(), nil, &u)
	return u, err
}

// TenantNames returns the names of the first tenants that the key reaches, sorted, at most limit.
func (c *Client) TenantNames(ctx context.Context, limit int) (names []string, err error) {
	var page struct{ Tenants []api.Tenant }
	err = c.Do(ctx, http.MethodGet, "/api/tenants?limit="+strconv.Itoa(limit), nil, &page)
	for _, t := range page.Tenants {
		names = append(names, t.Name)
	}
	return names, err
}

const (
	pageSize = 1000 // tenants of a page
	maxNamed = 100  // names in one request
)

// Tenants returns the tenants with these names, or all tenants that the key reaches if there are no names.
func (c *Client) Tenants(ctx context.Context, names ...string) (all []api.Tenant, err error) {
	err = c.pages(Path("api", "tenants"), names, func(path string) (string, error) {
		var page struct {
			Tenants []api.Tenant
			Cursor  string
		}
		err := c.Do(ctx, http.MethodGet, path, nil, &page)
		all = append(all, page.Tenants...)
		return page.Cursor, err
	})
	return all, err
}

// Modules returns the modules of the named tenants, or of all tenants if there are no names, on all nodes, and the nodes
// that did not answer.
func (c *Client) Modules(ctx context.Context, names ...string) (all []api.Module, unreachable []string, err error) {
	err = c.pages(Path("api", "modules"), names, func(path string) (string, error) {
		var page struct {
			Modules     []api.Module
			Unreachable []string
			Cursor      string
		}
		err := c.Do(ctx, http.MethodGet, path, nil, &page)
		all, unreachable = append(all, page.Modules...), append(unreachable, page.Unreachable...)
		return page.Cursor, err
	})
	slices.Sort(unreachable)
	return all, slices.Compact(unreachable), err
}

// pages requests all pages of a list in order, or the pages with the named tenants.
func (c *Client) pages(path string, names []string, ask func(path string) (cursor string, err error)) error {
	for some := range slices.Chunk(names, maxNamed) {
		if _, err := ask(path + "?" + url.Values{"tenants": {strings.Join(some, ",")}}.Encode()); err != nil {
			return err
		}
	}
	if len(names) > 0 {
		return nil
	}
	q := url.Values{"limit": {strconv.Itoa(pageSize)}}
	for {
		cursor, err := ask(path + "?" + q.Encode())
		if err != nil || cursor == "" {
			return err
		}
		q.Set("cursor", cursor)
	}
}

// Reload makes the node, or all nodes, load the configuration again.
func (c *Client) Reload(ctx context.Context, all bool) ([]api.Reload, error) {
	return c.change(ctx, "/api/reload", all)
}

// Rollback makes the node, or all nodes, use the rules from before the last reload.
func (c *Client) Rollback(ctx context.Context, all bool) ([]api.Reload, error) {
	return c.change(ctx, "/api/rollback", all)
}

func (c *Client) change(ctx context.Context, path string, all bool) ([]api.Reload, error) {
	if all {
		path += "?nodes=all"
	}
	var out struct{ Results []api.Reload }
	err := c.Do(ctx, http.MethodPost, path, nil, &out)
	return out.Results, err
}

// Decisions returns the latest decisions of modules. With the admin key and f.Tenant "" it returns those of all tenants.
// With the cursor of an earlier page it returns only later decisions.
func (c *Client) Decisions(ctx context.Context, f report.DecisionFilter, cursor string) (page api.DecisionPage, err error) {
	path := Path("api", "decisions")
	if f.Tenant != "" {
		path = Path("api", "tenants", f.Tenant, "decisions")
	}
	q := queryOf(f)
	if cursor != "" {
		q.Set("cursor", cursor)
	}
	err = c.Do(ctx, http.MethodGet, path+"?"+q.Encode(), nil, &page)
	return page, err
}

func queryOf(f report.DecisionFilter) url.Values {
	q := url.Values{}
	for name, text := range map[string]string{"room": f.Room, "hook": f.Hook, "module": f.Module, "verdict": f.Verdict} {
		if text != "" {
			q.Set(name, text)
		}
	}
	if f.Shadow {
		q.Set("shadow", "true")
	}
	for name, at := range map[string]millis.Time{"since": f.Since, "before": f.Before} {
		if at > 0 {
			q.Set(name, strconv.FormatFloat(float64(at), 'f', -1, 64))
		}
	}
	if f.Limit > 0 {
		q.Set("limit", strconv.Itoa(f.Limit))
	}
	return q
}

// Lines requests the path of an operation that streams, and calls f with each line that is not empty, until ctx
// ends, the answer ends or f fails. The error is the error of f or of the answer; it is nil if ctx ended.
func (c *Client) Lines(ctx context.Context, path string, f func(line []byte) error) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base+path, nil)
	if err != nil {
		return err
	}
	r.Header.Set("Authorization", "Bearer "+c.key)
	endless := c.http
	endless.Timeout = 0
	answer, err := endless.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode >= 300 {
		text, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
		if err != nil {
			return err
		}
		return faultOf(answer, text)
	}
	lines := bufio.NewScanner(answer.Body)
	lines.Buffer(nil, maxLine)
	for lines.Scan() {
		if len(lines.Bytes()) == 0 {
			continue
		}
		if err := f(lines.Bytes()); err != nil {
			return err
		}
	}
	switch {
	case ctx.Err() != nil:
		return nil
	case lines.Err() != nil:
		return lines.Err()
	}
	return errors.New("the server ended it")
}

// maxLine is the limit of a line, in bytes. The line of a say has all of its receivers.
const maxLine = 16 << 20

// Sanctions returns the sanctions of a tenant, of all pages: those of a user or an address, or all if both are "".
func (c *Client) Sanctions(ctx context.Context, tenant, user, address string) (all []api.Sanction, err error) {
	query := url.Values{"limit": {"1000"}}
	if user != "" {
		query.Set("user", user)
	}
	if address != "" {
		query.Set("address", address)
	}
	for {
		var page struct {
			Sanctions []api.Sanction
			Cursor    string
		}
		if err := c.Do(ctx, http.MethodGet, Path("api", "tenants", tenant, "sanctions")+"?"+query.Encode(), nil, &page); err != nil {
			return nil, err
		}
		all = append(all, page.Sanctions...)
		if page.Cursor == "" {
			return all, nil
		}
		query.Set("cursor", page.Cursor)
	}
}

// SetSanction sets a sanction of a tenant and returns what the server stores.
func (c *Client) SetSanction(ctx context.Context, tenant string, s api.NewSanction) (stored api.Sanction, err error) {
	err = c.Do(ctx, http.MethodPost, Path("api", "tenants", tenant, "sanctions"), s, &stored)
	return stored, err
}

// RemoveSanction removes a sanction of a tenant.
func (c *Client) RemoveSanction(ctx context.Context, tenant, id string) error {
	return c.Do(ctx, http.MethodDelete, Path("api", "tenants", tenant, "sanctions", id), nil, nil)
}
