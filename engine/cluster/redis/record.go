package redis

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/mootchat/moot/engine/cluster"
)

// record returns a member as stored in Redis: "<joinedAt> <profile>".
func record(m cluster.MemberRecord) string {
	return strconv.FormatInt(m.JoinedAt, 10) + " " + string(m.Profile)
}

func parseRecord(id, s string) (cluster.MemberRecord, error) {
	at, profile, ok := strings.Cut(s, " ")
	joined, err := strconv.ParseInt(at, 10, 64)
	if !ok || err != nil {
		return cluster.MemberRecord{}, fmt.Errorf("%.40q is not a record of a member", s)
	}
	m := cluster.MemberRecord{ID: id, JoinedAt: joined}
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
