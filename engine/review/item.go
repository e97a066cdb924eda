// Package review is the contract of the review queue: messages that a rule holds until a person decides about them, and
// members' reports of messages and users. The packages memory, redis and sqlite implement [Store]; package reviewtest tests
// an implementation.
//
// An item is open until a person decides about it or it expires. [Begin] or [Claim] then gives it to one node, which
// carries the decision out and calls [End]. If the node dies in between, [Claim] gives the item to another one, which repeats
// the work: [github.com/mootchat/moot/engine/cluster.Broker.PublishOnce] publishes a message only once.
package review

import (
	"bytes"
	"crypto/sha256"
	"encoding/base32"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/mootchat/moot/engine/wire"
)

// Kind is the kind of an item.
type Kind string

// The kinds of items.
const (
	Held   Kind = "held"   // a message that was not published
	Report Kind = "report" // a message or a user that members reported
)

// State is the state of an item.
type State string

// The states of items. A decided report becomes open again if its target is reported again; see AddReport.
const (
	Open     State = "open"     // nobody has decided
	Deciding State = "deciding" // a node carries out the decision
	Decided  State = "decided"  // it was carried out
)

// Item is a held message, or a report. Times are in ms since 1970, by the clock of the node that set them.
type Item struct {
	ID       string `json:"id"` // see NewID
	Tenant   string `json:"-"`
	Kind     Kind   `json:"kind"`
	State    State  `json:"state"`
	Revision int64  `json:"revision"` // set by Store.Put, grows with each change; 0: the store does not have the item

	// Unique identifies the item beside its ID: at any time, two items of a tenant have different values. "": the item has
	// none. See UniqueOf.
	Unique string `json:"unique,omitempty"`

	At    int64 `json:"at"`              // when it was added
	Until int64 `json:"until,omitempty"` // when an open item expires; 0: never
	// Due is the time of the next step without a person: an open item expires, an item whose node has not carried out the
	// decision goes to another node, a decided item is removed. 0: never. The functions of this package set it.
	Due int64 `json:"due,omitempty"`

	// The author of the held or reported message, or the reported user.
	User       string `json:"user,omitempty"`
	Connection string `json:"connection,omitempty"`
	Address    string `json:"address,omitempty"` // IP address

	// The message: as the entry that held it left it, or as it was published. A report of a user has none, and Room is "".
	Room      string          `json:"room,omitempty"`
	MessageID string          `json:"messageId,omitempty"` // of a held message: its id when it is released; "" in an ephemeral room
	Message   wire.Message    `json:"message,omitzero"`
	From      string          `json:"from,omitempty"`
	Context   string          `json:"context,omitempty"`
	SentAt    int64           `json:"sentAt,omitempty"`
	JoinedAt  int64           `json:"joinedAt,omitempty"` // when the author of a held message joined the room
	Extra     json.RawMessage `json:"extra,omitempty"`    // a JSON object; nil: none

	// Of a held message.
	Said    string          `json:"said,omitempty"`    // the room in which the author said it; Room is the room to which rules have moved it
	JSON    bool            `json:"json,omitempty"`    // the author said an object or an array
	Profile json.RawMessage `json:"profile,omitempty"` // data of the author's connection for rules, as the engine encodes it
	Reason  string          `json:"reason,omitempty"`  // of the rule, for moderators
	Rule    string          `json:"rule,omitempty"`    // as module@sha#revision
	Place   Place           `json:"place,omitzero"`    // of the entry that held it
	Release bool            `json:"release,omitempty"` // the message is released when it expires; false: it is rejected
	Notify  bool            `json:"notify,omitempty"`  // the author receives the outcome

	// Of a report.
	Shown     *Shown     `json:"shown,omitempty"`     // the message as the first reporter has received it; nil: as it was published
	Reporters []Reporter `json:"reporters,omitempty"` // the first MaxReporters
	Reports   int        `json:"reports,omitzero"`    // number of all reporters

	Decision *Decision `json:"decision,omitempty"` // nil: there is none. Copies of an item share it: do not change it in place
	Failure  string    `json:"failure,omitempty"`  // why the last decision was not carried out; "" after a success
}

// Place is the place of an entry in a chain, with the fields of hook.Place.
type Place struct {
	Priority int    `json:"priority"`
	Module   string `json:"module"`
	Index    int    `json:"index,omitempty"`
	Moved    bool   `json:"moved,omitempty"`
	Room     string `json:"room,omitempty"`
}

// Shown is a reported message as a member has received it.
type Shown struct {
	Message wire.Message    `json:"message,omitzero"`
	From    string          `json:"from,omitempty"`
	Extra   json.RawMessage `json:"extra,omitempty"`
}

// Reporter is a member who reported a message or a user.
type Reporter struct {
	User       string `json:"user,omitempty"`
	Connection string `json:"connection,omitempty"`
	Address    string `json:"address,omitempty"`
	Reason     string `json:"reason,omitempty"`
	At         int64  `json:"at"`
	Notify     bool   `json:"notify,omitempty"` // the reporter asked to be told the outcome
}

// Same reports whether both are the same user or, without users, the same connection.
func (r *Reporter) Same(as *Reporter) bool {
	return r.User == as.User && (r.User != "" || r.Connection == as.Connection)
}

// Action is what a decision does with an item.
type Action string

// The actions. Release, Reject and Withdraw are for held messages, Dismiss, Retract and Sanction for reports.
const (
	Release  Action = "release"  // the message is published
	Reject   Action = "reject"   // the message is not published
	Withdraw Action = "withdraw" // the author has taken the message back; it is not published
	Dismiss  Action = "dismiss"  // nothing is done
	Retract  Action = "retract"  // the message is retracted
	Sanction Action = "sanction" // the reported user, or the author of the message, is muted, banned or shadowed
	Expire   Action = "expire"   // nobody has decided in time: a message is released or rejected, a report ends
)

// Decision is the decision of a person about an item, or the consequence of its expiry.
type Decision struct {
	Action Action `json:"action"`
	By     string `json:"by,omitempty"`     // the person, such as the name of an API key; "": the author withdrew the message, or the item expired
	Reason string `json:"reason,omitempty"` // for the author or the reporters
	At     int64  `json:"at"`
	Node   string `json:"node,omitempty"` // the node that carries it out

	// To and Payload are the room and the payload of a release that the chain has allowed. For Sanction, Payload is the
	// sanction as JSON. See Prepare.
	To      string `json:"to,omitempty"`
	Payload []byte `json:"payload,omitempty"`
	Shadow  Shadow `json:"shadow,omitempty"` // of a release: only the author receives the message; "": the members of To
}

// Shadow names the connections of the author to which a release delivers a message under a shadow sanction.
type Shadow string

// The shadows of a Decision.
const (
	ShadowOfUser       Shadow = "user"       // all connections of Item.User
	ShadowOfConnection Shadow = "connection" // Item.Connection
)

// ShadowOf returns the Shadow of a sanction of a user, or of an address if user is "".
func ShadowOf(user string) Shadow {
	if user == "" {
		return ShadowOfConnection
	}
	return ShadowOfUser
}

// Limits of the texts of an item, in bytes, and of the named reporters of a report.
const (
	MaxReporters = 100
	MaxReason    = 256
	maxName      = 256     // users, connections, addresses and modules
	maxRoom      = 200     // rooms
	maxContent   = 3 << 20 // a message and its Extra
)

// NewID returns a new ID of 20 digits and lower-case letters. IDs sort by their times, in ms.
func NewID(now time.Time) string {
	const digits = "0123456789abcdefghijklmnopqrstuv"
	var id [20]byte
	ms, random := uint64(now.UnixMilli()), rand.Uint64()
	for i := range 10 {
		id[9-i], id[10+i] = digits[ms>>(5*i)&31], digits[random>>(5*i)&31]
	}
	return string(id[:])
}

// UniqueOf returns a value for [Item.Unique]: a digest of the kind and the parts.
func UniqueOf(kind Kind, parts ...string) string {
	h := sha256.New()
	for _, part := range append([]string{string(kind)}, parts...) {
		fmt.Fprintf(h, "%d:%s", len(part), part)
	}
	return strings.ToLower(base32.HexEncoding.EncodeToString(h.Sum(nil)[:15]))
}

// Subject returns a text that is equal for items of the same author: "user:NAME", or "connection:ID" of an author without
// a user.
func (i *Item) Subject() string {
	if i.User != "" {
		return SubjectOfUser(i.User)
	}
	return SubjectOfConnection(i.Connection)
}

// SubjectOfUser returns the Subject of the items of a user.
func SubjectOfUser(user string) string { return "user:" + user }

// SubjectOfConnection returns the Subject of the items of a connection without a user.
func SubjectOfConnection(id string) string { return "connection:" + id }

// Owner returns the person whose items [Limits.OfOwner] bounds: the author of a held message, or the first reporter of a report.
// The result is "user:NAME", or, without a user, "address:IP", because a client can open any number of connections.
func (i *Item) Owner() string {
	user, address := i.User, i.Address
	if i.Kind == Report && len(i.Reporters) > 0 {
		user, address = i.Reporters[0].User, i.Reporters[0].Address
	}
	if user != "" {
		return SubjectOfUser(user)
	}
	return "address:" + address
}

// Size returns the number of bytes for which the item counts in [Limits.Bytes].
func (i *Item) Size() int64 {
	n := 1024 + len(i.Message.Text) + len(i.Extra) + len(i.Profile) + len(i.User) + len(i.Reason)
	if i.Shown != nil {
		n += len(i.Shown.Message.Text) + len(i.Shown.Extra)
	}
	for k := range i.Reporters {
		r := &i.Reporters[k]
		n += 128 + len(r.User) + len(r.Reason)
	}
	if i.Decision != nil {
		n += 128 + len(i.Decision.Reason) + len(i.Decision.Payload)
	}
	return int64(n)
}

// Validate checks the item. The text of an error is for users.
func (i *Item) Validate() error {
	switch {
	case len(i.ID) != 20 || strings.Trim(i.ID, "0123456789abcdefghijklmnopqrstuv") != "":
		return fmt.Errorf("%.40q is not the id of an item", i.ID)
	case i.Kind != Held && i.Kind != Report:
		return fmt.Errorf("%.40q is not a kind of items: use held or report", i.Kind)
	case i.State != Open && i.State != Deciding && i.State != Decided:
		return fmt.Errorf("%.40q is not a state of items: use open, deciding or decided", i.State)
	case (i.State == Open) != (i.Decision == nil) && i.Kind == Held:
		return errors.New("a held message has a decision if it is not open")
	case i.Kind == Report && (len(i.Reporters) == 0 || len(i.Reporters) > MaxReporters):
		return fmt.Errorf("a report names 1 to %d reporters", MaxReporters)
	case len(i.Message.Text)+len(i.Extra) > maxContent:
		return fmt.Errorf("the message has more than %d bytes", maxContent)
	case !isObject(i.Extra):
		return errors.New("extra is not a JSON object")
	case !isObject(i.Profile):
		return errors.New("profile is not a JSON object")
	case i.Shown != nil && !isObject(i.Shown.Extra):
		return errors.New("extra of the shown form is not a JSON object")
	case !utf8.ValidString(i.Message.Text):
		return errors.New("the message is not UTF-8")
	case i.User == "" && i.Connection == "":
		return errors.New("the item has neither a user nor a connection")
	}
	texts := []text{{"room", i.Room, maxRoom}, {"room", i.Said, maxRoom}, {"user", i.User, maxName}, {"connection", i.Connection, maxName}, {"address", i.Address, maxName},
		{"from", i.From, maxName}, {"reason", i.Reason, MaxReason}, {"unique", i.Unique, 24}, {"messageId", i.MessageID, 24}}
	for k := range i.Reporters {
		r := &i.Reporters[k]
		texts = append(texts, text{"user of a reporter", r.User, maxName}, text{"connection of a reporter", r.Connection, maxName},
			text{"address of a reporter", r.Address, maxName}, text{"reason of a report", r.Reason, MaxReason})
	}
	if d := i.Decision; d != nil {
		texts = append(texts, text{"by", d.By, maxName}, text{"reason of a decision", d.Reason, MaxReason})
	}
	for _, t := range texts {
		if err := t.check(); err != nil {
			return err
		}
	}
	return nil
}

// isObject reports whether raw is a JSON object, or nil.
func isObject(raw json.RawMessage) bool {
	return raw == nil || json.Valid(raw) && bytes.HasPrefix(bytes.TrimLeft(raw, " \t\r\n"), []byte("{"))
}

// text is a text of an item and its limit in bytes.
type text struct {
	name, value string
	most        int
}

func (t *text) check() error {
	if len(t.value) > t.most || !utf8.ValidString(t.value) || strings.ContainsRune(t.value, 0) {
		return fmt.Errorf("%s: at most %d bytes of UTF-8, without NUL", t.name, t.most)
	}
	return nil
}
