package redis

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/mootchat/moot/engine/moderation"
)

// A record is SOURCE AT NUL SUBJECT NUL DATA: "p" (a person) or "m" (a module), the time of the change in ms,
// and the rest as JSON. Scripts read source, time and subject.

// change is a change that this node has made or received.
type change struct {
	tenant, id      string
	source, subject string
	until           int64
	data            string // "": a removal
	at              int64
	noted           time.Time // by this node's clock
}

// data is the JSON part of a record.
type data struct {
	User    string          `json:"user,omitempty"`
	Network *netip.Prefix   `json:"network,omitempty"`
	Kind    moderation.Kind `json:"kind"`
	Rooms   string          `json:"rooms"`
	Until   int64           `json:"until,omitempty"`
	Reason  string          `json:"reason,omitempty"`
	Note    string          `json:"note,omitempty"`
	Module  string          `json:"module,omitempty"`
	By      string          `json:"by,omitempty"`
}

func setting(s moderation.Sanction) change {
	d := data{User: s.User, Kind: s.Kind, Rooms: s.Rooms, Until: s.Until, Reason: s.Reason, Note: s.Note, Module: s.Module, By: s.By}
	if s.Network.IsValid() {
		d.Network = &s.Network
	}
	encoded, _ := json.Marshal(d) // of texts and numbers: cannot fail
	c := change{tenant: s.Tenant, id: s.ID, source: "p", subject: s.Subject(), until: s.Until, data: string(encoded)}
	if s.Module != "" {
		c.source = "m"
	}
	return c
}

// errUnknown means that a newer version of the program has set a sanction of a kind, or of a subject, that this one does not
// know. The sanction does not hold here, and stays in Redis. Fields that this version does not know are ignored.
var errUnknown = errors.New("kind or subject of a newer version")

// unknown reports whether the data has a kind or a subject of a newer version; see errUnknown.
func (d *data) unknown() bool {
	switch d.Kind {
	case moderation.Mute, moderation.Shadow, moderation.Ban:
		return d.User == "" && d.Network == nil
	}
	return d.Kind != ""
}

func parseRecord(tenant, id, record string) (s moderation.Sanction, err error) {
	head, rest, _ := strings.Cut(record, "\x00")
	_, encoded, found := strings.Cut(rest, "\x00")
	if !found || len(head) < 2 {
		return s, errors.New("record has no source, time and subject")
	}
	at, err := parseTime(head[1:])
	if err != nil {
		return s, err
	}
	var d data
	if err := json.Unmarshal([]byte(encoded), &d); err != nil {
		return s, err
	}
	if d.unknown() {
		return s, errUnknown
	}
	s = moderation.Sanction{Tenant: tenant, User: d.User, Kind: d.Kind, Rooms: d.Rooms, Until: d.Until, Reason: d.Reason, Note: d.Note, Module: d.Module, By: d.By, At: at}
	if d.Network != nil {
		s.Network = *d.Network
	}
	if err := s.Identify(); err != nil {
		return s, err
	}
	if s.ID != id {
		return s, fmt.Errorf("record is of sanction %s", s.ID)
	}
	return s, nil
}

// parseTime parses a number of a script: ms since 1970, or a revision.
func parseTime(text string) (int64, error) {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("redis answered %.20q, want a number", text)
	}
	return n, nil
}

// message is a published change of a tenant. Its revision is the time of the change, or a later one of a change that was
// restored; before is the revision of the change before it.
type message struct {
	tenant           string
	before, revision int64
	change           moderation.Change
}

// parseMessage parses TENANT BEFORE REVISION sID RECORD, or TENANT BEFORE REVISION rID. It returns at least the tenant
// if that is there.
func parseMessage(payload string) (m message, err error) {
	var before, revision, rest string
	m.tenant, rest, _ = strings.Cut(payload, " ")
	before, rest, _ = strings.Cut(rest, " ")
	revision, rest, _ = strings.Cut(rest, " ")
	if m.before, err = parseTime(before); err != nil {
		return m, err
	}
	if m.revision, err = parseTime(revision); err != nil {
		return m, err
	}
	switch {
	case strings.HasPrefix(rest, "r"):
		m.change.Removed = []string{rest[1:]}
	case strings.HasPrefix(rest, "s"):
		id, record, _ := strings.Cut(rest[1:], " ")
		s, err := parseRecord(m.tenant, id, record)
		if errors.Is(err, errUnknown) {
			return m, nil // a change without an effect here
		}
		if err != nil {
			return m, err
		}
		m.change.Set = []moderation.Sanction{s}
	default:
		return m, errors.New("neither a set nor a removed sanction")
	}
	return m, nil
}
