package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"time"
	"unicode/utf8"

	"github.com/mootchat/moot/engine/api"
	"github.com/mootchat/moot/engine/api/client"
	"github.com/mootchat/moot/engine/millis"
)

// tenantFlags are the flags of commands about one tenant of a running server.
type tenantFlags struct {
	adminFlags
	Tenant string `default:"default" help:"Tenant." placeholder:"NAME"`
}

// path returns the path of something of the tenant in the server API.
func (f *tenantFlags) path(parts ...string) string {
	return client.Path(append([]string{"api", "tenants", f.Tenant}, parts...)...)
}

// do sends one request.
func (f *tenantFlags) do(ctx context.Context, method, path string, body, out any) error {
	ask, err := f.client()
	if err != nil {
		return err
	}
	return ask.Do(ctx, method, path, body, out)
}

// listed prints each element of the list under name of all pages: as a line of JSON, or as show returns it.
func listed[T any](ctx context.Context, f *tenantFlags, t terminal, path, name string, q url.Values, asJSON bool, show func(T) string) error {
	ask, err := f.client()
	if err != nil {
		return err
	}
	for cursor := ""; ; {
		if cursor != "" {
			q.Set("cursor", cursor)
		}
		var page map[string]json.RawMessage
		if err := ask.Do(ctx, http.MethodGet, path+"?"+q.Encode(), nil, &page); err != nil {
			return err
		}
		var list []T
		if err := json.Unmarshal(page[name], &list); err != nil {
			return fmt.Errorf("the answer of the server has no list of %s: %w", name, err)
		}
		for _, one := range list {
			if asJSON {
				err = json.NewEncoder(t.out).Encode(one)
			} else {
				_, err = fmt.Fprintln(t.out, show(one))
			}
			if err != nil {
				return err
			}
		}
		cursor = ""
		if next := page["cursor"]; next != nil {
			if err := json.Unmarshal(next, &cursor); err != nil {
				return err
			}
		}
		if cursor == "" {
			return nil
		}
	}
}

type kvCommand struct {
	Get    kvGet    `cmd:"" help:"Print a stored value of a module."`
	Set    kvSet    `cmd:"" help:"Set a stored value of a module, such as an entry of a ban list."`
	List   kvList   `cmd:"" help:"List the keys that a module stores, in the order of their bytes."`
	Delete kvDelete `cmd:"" help:"Remove a stored value of a module; it need not exist."`
}

// keyFlags name a key of a module.
type keyFlags struct {
	tenantFlags
	Module string `arg:"" help:"Name of the module."`
	Name   string `arg:"" name:"key" help:"Key."`
}

func (f *keyFlags) at() string { return f.path("modules", f.Module, "kv", f.Name) }

type kvGet struct {
	keyFlags
	JSON bool `name:"json" help:"Print JSON: text, or bytes in Base64."`
}

// Run prints the value, with a line end after text.
func (c *kvGet) Run(ctx context.Context, t terminal) error {
	var v api.Value
	if err := c.do(ctx, http.MethodGet, c.at(), nil, &v); err != nil {
		return err
	}
	if c.JSON {
		return json.NewEncoder(t.out).Encode(v)
	}
	if v.Text != nil {
		_, err := fmt.Fprintln(t.out, *v.Text)
		return err
	}
	_, err := t.out.Write(v.Bytes)
	return err
}

type kvSet struct {
	keyFlags
	Value string        `arg:"" help:"Value: a text, or @FILE."`
	TTL   time.Duration `name:"ttl" default:"0s" help:"Time until the value is removed, such as 10m; 0: it stays." placeholder:"DURATION"`
}

// Run sets the value.
func (c *kvSet) Run(ctx context.Context, _ terminal) error {
	if c.TTL < 0 {
		return misuse{fmt.Errorf("moot: --ttl must not be negative")}
	}
	value := []byte(c.Value)
	if len(value) > 1 && value[0] == '@' {
		var err error
		if value, err = os.ReadFile(c.Value[1:]); err != nil {
			return err
		}
	}
	body := map[string]any{"ttl": millis.DurationOf(c.TTL), "text": string(value)}
	if !utf8.Valid(value) {
		delete(body, "text")
		body["bytes"] = value
	}
	return c.do(ctx, http.MethodPut, c.at(), body, nil)
}

type kvList struct {
	tenantFlags
	Module string `arg:"" help:"Name of the module."`
	JSON   bool   `name:"json" help:"Print JSON, one key per line."`
}

// Run prints a key per line.
func (c *kvList) Run(ctx context.Context, t terminal) error {
	return listed(ctx, &c.tenantFlags, t, c.path("modules", c.Module, "kv"), "keys", url.Values{"limit": {"1000"}}, c.JSON, func(key string) string { return key })
}

type kvDelete struct{ keyFlags }

// Run removes the value.
func (c *kvDelete) Run(ctx context.Context, _ terminal) error {
	return c.do(ctx, http.MethodDelete, c.at(), nil, nil)
}

type roomsCommand struct {
	tenantFlags
	Prefix string `help:"Only rooms whose names begin with this. Default: all." placeholder:"TEXT"`
	JSON   bool   `name:"json" help:"Print JSON, one object per line."`
}

// Run prints a room per line, with its number of members.
func (c *roomsCommand) Run(ctx context.Context, t terminal) error {
	q := url.Values{"limit": {"1000"}, "counts": {"true"}}
	if c.Prefix != "" {
		q.Set("prefix", c.Prefix)
	}
	return listed(ctx, &c.tenantFlags, t, c.path("rooms"), "rooms", q, c.JSON, func(r api.Room) string {
		if r.MembersCount == nil {
			return r.Name
		}
		return fmt.Sprintf("%s\t%s", r.Name, counted(*r.MembersCount, "member"))
	})
}

type connectionsCommand struct {
	tenantFlags
	User string `help:"Only the connections of this user. Default: all." placeholder:"NAME"`
	JSON bool   `name:"json" help:"Print JSON, one object per line."`
}

// listedConnection has the fields of a connection that the command prints.
type listedConnection struct {
	ID        string   `json:"id"`
	User      string   `json:"user"`
	Transport string   `json:"transport"`
	RemoteIP  string   `json:"remoteIP"`
	Rooms     []string `json:"rooms"`
}

// Run prints a connection per line.
func (c *connectionsCommand) Run(ctx context.Context, t terminal) error {
	path, q := c.path("connections"), url.Values{"limit": {"200"}}
	if c.User != "" {
		q.Set("user", c.User)
	}
	if c.JSON {
		return listed(ctx, &c.tenantFlags, t, path, "connections", q, true, func(json.RawMessage) string { return "" })
	}
	return listed(ctx, &c.tenantFlags, t, path, "connections", q, false, func(one listedConnection) string {
		return fmt.Sprintf("%s\t%s\t%s\t%s\t%q", one.ID, one.User, one.Transport, one.RemoteIP, one.Rooms)
	})
}

// messageFlags is the message of a command, which is text or JSON.
type messageFlags struct {
	Message string `arg:"" help:"Text of the message."`
	JSON    bool   `name:"json" help:"The message is JSON, not text."`
}

// value returns the message for a request.
func (m *messageFlags) value() (json.RawMessage, error) {
	if !m.JSON {
		return json.Marshal(m.Message)
	}
	if !json.Valid([]byte(m.Message)) {
		return nil, misuse{errors.New("moot: the message is not JSON")}
	}
	return json.RawMessage(m.Message), nil
}

type sayCommand struct {
	tenantFlags
	Room string `arg:"" help:"Room."`
	messageFlags
	From string `help:"Connection id of a member. Default: the system." placeholder:"ID"`
}

// Run sends the message through the rules of the room.
func (c *sayCommand) Run(ctx context.Context, _ terminal) error {
	message, err := c.value()
	if err != nil {
		return err
	}
	body := map[string]any{"message": message}
	if c.From != "" {
		body["from"] = c.From
	}
	return c.do(ctx, http.MethodPost, c.path("rooms", c.Room, "messages"), body, nil)
}

type kickCommand struct {
	tenantFlags
	Room       string `arg:"" help:"Room."`
	Connection string `arg:"" help:"Connection id of the member."`
}

// Run removes the member from the room.
func (c *kickCommand) Run(ctx context.Context, _ terminal) error {
	return c.do(ctx, http.MethodDelete, c.path("rooms", c.Room, "members", c.Connection), nil, nil)
}

type closeCommand struct {
	tenantFlags
	Connection string `arg:"" help:"Connection id."`
}

// Run closes the connection.
func (c *closeCommand) Run(ctx context.Context, _ terminal) error {
	return c.do(ctx, http.MethodDelete, c.path("connections", c.Connection), nil, nil)
}
