// Package client asks a node's server API.
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
	"time"

	"github.com/mootchat/moot/engine/api"
	"github.com/mootchat/moot/engine/millis"
	"github.com/mootchat/moot/host/report"
)

// Client asks one node. Its methods may be called concurrently.
type Client struct {
	base string
	key  string
	http http.Client
}

// patience is how long a node may take; one that reloads compiles modules.
const patience = time.Minute

// New makes a client of the node at base, such as "http://127.0.0.1:9090".
func New(base, key string) (*Client, error) {
	u, err := url.Parse(base)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("%q is not a URL such as http://127.0.0.1:9090", base)
	}
	c := &Client{base: strings.TrimSuffix(base, "/"), key: key}
	c.http.Timeout = patience
	c.http.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse } // the key is for this server
	return c, nil
}

// Path is the path of an endpoint: what names something is escaped.
func Path(segments ...string) string {
	var b strings.Builder
	for _, s := range segments {
		s = url.PathEscape(s)
		if s == "." || s == ".." { // which a server would take for directories
			s = strings.ReplaceAll(s, ".", "%2E")
		}
		b.WriteString("/" + s)
	}
	return b.String()
}

// maxAnswer bounds what an answer may have, in bytes.
const maxAnswer = 64 << 20

// Do asks for path, which [Path] made and which may have a query, with body as
// JSON, nil for none, and reads the answer into out, nil for none. The error of a
// node that answered with one is an *api.Fault.
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
		return fmt.Errorf("the server answered %s, which is not Moot's server API", answer.Status)
	}
	return f
}

// Code is the code of an error that a node answered with, "" if it is none.
func Code(err error) string {
	if f, ok := errors.AsType[*api.Fault](err); ok {
		return f.What.Code
	}
	return ""
}

// Nodes gives all nodes of the cluster, and the name of the one that answered.
func (c *Client) Nodes(ctx context.Context) (self string, nodes []api.Node, err error) {
	var out struct {
		Self  string
		Nodes []api.Node
	}
	err = c.Do(ctx, http.MethodGet, "/api/nodes", nil, &out)
	return out.Self, out.Nodes, err
}

// mostOfPage is how many tenants a page has here.
const mostOfPage = 1000

// Tenants gives the tenants that the key reaches, page by page.
func (c *Client) Tenants(ctx context.Context) (all []api.Tenant, err error) {
	err = c.pages(Path("api", "tenants"), func(path string) (string, error) {
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

// Modules gives all modules on all nodes, page by page, and the nodes that did not answer.
func (c *Client) Modules(ctx context.Context) (all []api.Module, unreachable []string, err error) {
	err = c.pages(Path("api", "modules"), func(path string) (string, error) {
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

// pages asks for one page after the other.
func (c *Client) pages(path string, ask func(path string) (cursor string, err error)) error {
	q := url.Values{"limit": {strconv.Itoa(mostOfPage)}}
	for {
		cursor, err := ask(path + "?" + q.Encode())
		if err != nil || cursor == "" {
			return err
		}
		q.Set("cursor", cursor)
	}
}

// Reload has the node, or all nodes, load their configurations again.
func (c *Client) Reload(ctx context.Context, all bool) ([]api.Reload, error) {
	return c.change(ctx, "/api/reload", all)
}

// Rollback has the node, or all nodes, go back to the rules before.
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

// Decisions returns the latest decisions of modules. The admin key may ask for those of all tenants, with f.Tenant "".
// With the cursor of an earlier page it returns only decisions made since.
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

// Lines asks for path, of an operation that streams, and gives each line that is not
// empty to f, until ctx ends, the server does, or f fails. The error is f's, or why
// it ended; nil: ctx did.
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

// maxLine bounds a line, in bytes: a say to many receivers has all of them.
const maxLine = 16 << 20
