package redis

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// entry is a message in a room's stream: "1 <id> <payload>". The id is <producer>.<number>; that of a message of PublishOnce
// is <producer>~<once>.<number>. The 1 is the version of the form:
// nodes of two releases may share a cluster, and skip entries of other versions. The entry "gap
// <id> " replaces the lost messages of a producer, up to the message with that id. An amendment is
// "amend <id> E:<message>:<offset> <payload>", or R in place of E for a retraction; see amend.go.
type entry struct {
	id      string // it does not change when the message is published again
	payload string
	gap     bool
	amends  string // the id of the message that this amendment changes; "": it is not an amendment
	at      uint64 // the offset at which the publisher has found that message; 0: it has not found it
	retract bool
}

const (
	entryVersion = "1"
	gapVersion   = "gap"
	amendVersion = "amend"
)

// maxID is the length of the longest id: 63 bytes of a node's name, a random part, and a number.
const maxID = 128

var errVersion = errors.New("entry of another version")

func (e entry) String() string {
	switch {
	case e.gap:
		return gapVersion + " " + e.id + " "
	case e.amends != "":
		return amendVersion + " " + e.id + " " + amendHeader(e.amends, e.at, e.retract) + " " + e.payload
	}
	return entryVersion + " " + e.id + " " + e.payload
}

func parseEntry(s string) (entry, error) {
	version, rest, ok := strings.Cut(s, " ")
	if ok && version != entryVersion && version != gapVersion && version != amendVersion {
		return entry{}, fmt.Errorf("%w: %.20q", errVersion, version)
	}
	id, payload, ok := strings.Cut(rest, " ")
	if !ok || id == "" || len(id) > maxID {
		return entry{}, fmt.Errorf("%.40q is not an entry", s)
	}
	if version == gapVersion {
		return entry{id: id, gap: true}, nil
	}
	if version == amendVersion {
		return parseAmendment(id, payload)
	}
	return entry{id: id, payload: payload}, nil
}

// position is a place in a room's order, like cluster.Position. The zero position is before the
// first message.
type position struct {
	epoch  string
	offset uint64
}

// envelope is a message in the room's channel. It is an entry with its position,
// "<epoch>:<offset>:<entry>"; or an ephemeral entry, "~<entry>", whose position is zero; or the
// mark of a flush, "!<mark>", which arrives after all messages published before it.
type envelope struct {
	position
	entry string // "" for a mark
	mark  string
}

const (
	ephemeralMark = "~"
	flushMark     = "!"
)

// maxEpoch is the length of the longest accepted epoch. This version makes epochs of 16 bytes.
const maxEpoch = 64

func parseEnvelope(s string) (envelope, error) {
	if e, ok := strings.CutPrefix(s, ephemeralMark); ok {
		return envelope{entry: e}, nil
	}
	if m, ok := strings.CutPrefix(s, flushMark); ok && m != "" && len(m) <= maxID {
		return envelope{mark: m}, nil
	}
	epoch, rest, _ := strings.Cut(s, ":")
	offset, e, ok := strings.Cut(rest, ":")
	if !ok || epoch == "" || len(epoch) > maxEpoch {
		return envelope{}, fmt.Errorf("%.40q is not an envelope", s)
	}
	n, err := parseOffset(offset)
	if err != nil || n == 0 {
		return envelope{}, fmt.Errorf("%.40q is not an envelope: offset %.20q", s, offset)
	}
	return envelope{position: position{epoch, n}, entry: e}, nil
}

// maxOffset is the largest offset that Lua holds exactly and writes without an exponent.
const maxOffset = 99_999_999_999_999

func parseOffset(s string) (uint64, error) {
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil || n > maxOffset {
		return 0, fmt.Errorf("%.20q is not an offset", s)
	}
	return n, nil
}
