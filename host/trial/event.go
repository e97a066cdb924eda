package trial

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/mootchat/moot/engine/hook"
	"github.com/mootchat/moot/engine/wire"
)

// Event is an event in files of tests, in recordings and on command lines. Omitted fields are absent.
type Event struct {
	Hook       string       `json:"hook" yaml:"hook"` // join, onSayReceive, ...
	Tenant     string       `json:"tenant,omitempty" yaml:"tenant"`
	Room       string       `json:"room,omitempty" yaml:"room"`
	From       string       `json:"from,omitempty" yaml:"from"`
	Message    *string      `json:"message,omitempty" yaml:"message"` // text
	JSON       JSON         `json:"json,omitempty" yaml:"json"`       // a message that is not text
	Context    string       `json:"context,omitempty" yaml:"context"`
	Cause      string       `json:"cause,omitempty" yaml:"cause"`
	Action     string       `json:"action,omitempty" yaml:"action"`
	Params     JSON         `json:"params,omitempty" yaml:"params"`
	SentAt     int64        `json:"sentAt,omitempty" yaml:"sentAt"` // ms since 1970
	Sequence   uint64       `json:"sequence,omitempty" yaml:"sequence"`
	MessageID  string       `json:"messageId,omitempty" yaml:"messageId"`   // the id of the message
	Edits      string       `json:"edits,omitempty" yaml:"edits"`           // the id of the message that this event edits
	Caused     bool         `json:"caused,omitempty" yaml:"caused"`         // by an effect of a module
	Connection *Connection  `json:"connection,omitempty" yaml:"connection"` // null: an event of the system, or a say
	Receivers  []Connection `json:"receivers,omitempty" yaml:"receivers"`   // of say

	// Answers are the answers of external services, by the names of the asks. A question without an answer fails.
	Answers map[string]Reply `json:"answers,omitempty" yaml:"answers"`
}

// Connection is a client's connection.
type Connection struct {
	ID          string          `json:"id,omitempty" yaml:"id"`
	Fingerprint string          `json:"fingerprint,omitempty" yaml:"fingerprint"`
	User        string          `json:"user,omitempty" yaml:"user"`
	Transport   string          `json:"transport,omitempty" yaml:"transport"`
	RemoteIP    string          `json:"remoteIP,omitempty" yaml:"remoteIP"`
	Tenant      string          `json:"tenant,omitempty" yaml:"tenant"`
	Locale      string          `json:"locale,omitempty" yaml:"locale"`
	ConnectedAt int64           `json:"connectedAt,omitempty" yaml:"connectedAt"` // ms since 1970
	JoinedAt    int64           `json:"joinedAt,omitempty" yaml:"joinedAt"`       // the event's room
	Properties  map[string]JSON `json:"properties,omitempty" yaml:"properties"`
	Claims      []string        `json:"claims,omitempty" yaml:"claims"` // properties that come from its token
}

// JSON is a value as JSON text; nil: none.
type JSON json.RawMessage

// Valid reports whether j is valid JSON.
func (j JSON) Valid() bool { return json.Valid(j) }

// MarshalJSON implements json.Marshaler.
func (j JSON) MarshalJSON() ([]byte, error) { return json.RawMessage(j).MarshalJSON() }

// UnmarshalJSON implements json.Unmarshaler.
func (j *JSON) UnmarshalJSON(b []byte) error { return (*json.RawMessage)(j).UnmarshalJSON(b) }

// MarshalYAML returns the value.
func (j JSON) MarshalYAML() (any, error) {
	if j == nil {
		return nil, nil
	}
	var v any
	err := json.Unmarshal(j, &v)
	return v, err
}

// UnmarshalYAML converts a YAML value to JSON.
func (j *JSON) UnmarshalYAML(decode func(any) error) error {
	var v any
	if err := decode(&v); err != nil {
		return err
	}
	b, err := json.Marshal(v)
	*j = b
	return err
}

// event converts e to an event of the engine. The error says what is invalid.
func (e *Event) event(tenant string) (*hook.Event, error) {
	at := hook.Named(e.Hook)
	if at == 0 {
		var names []string
		for h := hook.Connect; h <= hook.Action; h++ {
			names = append(names, h.String())
		}
		return nil, fmt.Errorf("there is no hook %q: use %s", e.Hook, strings.Join(names, ", "))
	}
	if at == hook.Say && e.Connection != nil {
		return nil, fmt.Errorf("say has no connection: use receivers")
	}
	if at != hook.Say && len(e.Receivers) > 0 {
		return nil, fmt.Errorf("%s has no receivers: use connection", e.Hook)
	}
	if e.Tenant != "" && e.Tenant != tenant {
		return nil, fmt.Errorf("the event has the tenant %q, the module runs as one of %q: omit the tenant, or use the same", e.Tenant, tenant)
	}
	if e.Message != nil && e.JSON != nil {
		return nil, fmt.Errorf("the event has both message (text) and json (another value): use one")
	}
	ev := &hook.Event{Hook: at, Tenant: tenant, Room: e.Room, From: e.From, Context: e.Context, Cause: hook.Cause(e.Cause),
		Action: e.Action, Params: json.RawMessage(e.Params), SentAt: e.SentAt, Sequence: e.Sequence, MessageID: e.MessageID, Edits: e.Edits, Caused: e.Caused}
	switch {
	case e.JSON != nil:
		ev.Message = wire.Message{Text: string(e.JSON), JSON: true}
	case e.Message != nil:
		ev.Message.Text = *e.Message
	}
	if e.Connection != nil {
		ev.Conn, ev.JoinedAt = e.Connection.profile(), e.Connection.JoinedAt
	}
	return ev, nil
}

func (c *Connection) profile() *hook.Profile {
	p := &hook.Profile{Connection: hook.Connection{ID: c.ID, Fingerprint: c.Fingerprint, User: c.User, Transport: c.Transport, RemoteIP: c.RemoteIP,
		Tenant: c.Tenant, Locale: c.Locale, ConnectedAt: c.ConnectedAt}}
	for name, value := range c.Properties {
		p.Properties = append(p.Properties, hook.NamedProperty{
			Property: hook.Property{Name: name, Value: json.RawMessage(value)}, Claim: slices.Contains(c.Claims, name)})
	}
	slices.SortFunc(p.Properties, func(a, b hook.NamedProperty) int { return strings.Compare(a.Name, b.Name) })
	return p
}

// member is a receiver of a say.
type member struct {
	profile  *hook.Profile
	joinedAt int64
}

func (m *member) Profile() *hook.Profile { return m.profile }
func (m *member) JoinedAt() int64        { return m.joinedAt }

func (e *Event) members() []hook.Member {
	members := make([]hook.Member, len(e.Receivers))
	for i := range e.Receivers {
		members[i] = &member{e.Receivers[i].profile(), e.Receivers[i].JoinedAt}
	}
	return members
}

// EventOf converts an event of the engine, with the receivers of a say.
func EventOf(ev *hook.Event, receivers []Connection) Event {
	e := Event{Hook: ev.Hook.String(), Tenant: ev.Tenant, Room: ev.Room, From: ev.From, Context: ev.Context, Cause: string(ev.Cause),
		Action: ev.Action, Params: JSON(ev.Params), SentAt: ev.SentAt, Sequence: ev.Sequence, MessageID: ev.MessageID, Edits: ev.Edits, Caused: ev.Caused, Receivers: receivers}
	switch {
	case ev.Message.JSON:
		e.JSON = JSON(ev.Message.Text)
	case ev.Hook == hook.Say || ev.Hook == hook.OnSayReceive:
		e.Message = &ev.Message.Text
	}
	if ev.Conn != nil {
		c := ConnectionOf(ev.Conn, ev.JoinedAt)
		e.Connection = &c
	}
	return e
}

// ConnectionOf converts a profile; nil gives an empty Connection.
func ConnectionOf(p *hook.Profile, joinedAt int64) Connection {
	if p == nil {
		return Connection{}
	}
	c := Connection{ID: p.ID, Fingerprint: p.Fingerprint, User: p.User, Transport: p.Transport, RemoteIP: p.RemoteIP,
		Tenant: p.Tenant, Locale: p.Locale, ConnectedAt: p.ConnectedAt, JoinedAt: joinedAt}
	for _, property := range p.Properties {
		if c.Properties == nil {
			c.Properties = make(map[string]JSON)
		}
		c.Properties[property.Name] = JSON(property.Value)
		if property.Claim {
			c.Claims = append(c.Claims, property.Name)
		}
	}
	return c
}
