package redis

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/mootchat/moot/engine/cluster"
)

// userField is the beginning of the profile of a member with a user, whose name follows in
// hexadecimal digits. Nodes of earlier versions ignore the field.
const userField = `{"moot.user":"`

// record returns a member as stored in Redis: "<joinedAt> <profile>". A user is the first field of
// the profile, which scripts can read.
func record(m cluster.MemberRecord) string {
	profile := string(m.Profile)
	if m.User != "" {
		user := userField + hex.EncodeToString([]byte(m.User)) + `"`
		if rest, ok := strings.CutPrefix(profile, "{"); ok && strings.TrimSpace(rest) != "}" {
			profile = user + "," + rest
		} else {
			profile = user + "}"
		}
	}
	return strconv.FormatInt(m.JoinedAt, 10) + " " + profile
}

func parseRecord(id, s string) (cluster.MemberRecord, error) {
	at, profile, ok := strings.Cut(s, " ")
	joined, err := strconv.ParseInt(at, 10, 64)
	if !ok || err != nil {
		return cluster.MemberRecord{}, fmt.Errorf("%.40q is not a record of a member", s)
	}
	m := cluster.MemberRecord{ID: id, JoinedAt: joined}
	if rest, ok := strings.CutPrefix(profile, userField); ok {
		digits, rest, _ := strings.Cut(rest, `"`)
		user, err := hex.DecodeString(digits)
		if err != nil {
			return cluster.MemberRecord{}, fmt.Errorf("%.40q is not a record of a member: %w", s, err)
		}
		m.User, profile = string(user), ""
		if rest, ok := strings.CutPrefix(rest, ","); ok {
			profile = "{" + rest
		}
	}
	if profile != "" {
		m.Profile = json.RawMessage(profile)
	}
	return m, nil
}

// cursor is the last member of a page. The members of a room are ordered by process and
// then by id.
type cursor struct{ process, id string }

func (c cursor) String() string {
	return base64.RawURLEncoding.EncodeToString([]byte(c.process + "/" + c.id))
}

func parseCursor(s string) (cursor, error) {
	if s == "" {
		return cursor{}, nil
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	process, id, ok := strings.Cut(string(b), "/")
	node, _, named := strings.Cut(process, "#")
	if err != nil || !ok || !named || !name.MatchString(node) || id == "" {
		return cursor{}, fmt.Errorf("members: %w: %.40q", cluster.ErrCursor, s)
	}
	return cursor{process, id}, nil
}

// values is the answer of a script: numbers and strings.
type values []any

var errValues = errors.New("unexpected answer of a script")

func (v values) number(i int) (int64, error) {
	if i < len(v) {
		switch x := v[i].(type) {
		case int64:
			return x, nil
		case string:
			return strconv.ParseInt(x, 10, 64)
		}
	}
	return 0, errValues
}

// texts returns the strings from i on.
func (v values) texts(i int) ([]string, error) {
	if i > len(v) {
		return nil, errValues
	}
	out := make([]string, 0, len(v)-i)
	for _, x := range v[i:] {
		s, ok := x.(string)
		if !ok {
			return nil, errValues
		}
		out = append(out, s)
	}
	return out, nil
}
