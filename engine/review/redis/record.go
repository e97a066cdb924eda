package redis

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"

	"github.com/mootchat/moot/engine/review"
)

// A record is "REVISION KIND STATE SIZE DUE", OWNER, SUBJECT, UNIQUE, ROOM and the item as JSON, separated by NULs. KIND is
// h (held message) or r (report), STATE is d (decided) or o (any other state). Scripts read all parts except the JSON.

// letter returns the KIND of a record; "" for "".
func letter(kind review.Kind) string { return string(kind[:min(1, len(kind))]) }

// A revision is the number of changes times 1,048,576, plus a random number below that. If a failover loses a change and
// another change takes its place, the two have different revisions.
const revisionStep = 1 << 20

func nextRevision(revision int64) int64 {
	return (revision/revisionStep+1)*revisionStep + rand.Int64N(revisionStep)
}

func record(one *review.Item) string {
	state := "o"
	if one.State == review.Decided {
		state = "d"
	}
	head := fmt.Sprintf("%d %s %s %d %d", one.Revision, letter(one.Kind), state, one.Size(), one.Due)
	return strings.Join([]string{head, one.Owner(), one.Subject(), one.Unique, one.Room, string(one.Encode())}, "\x00")
}

func parseRecord(tenant, text string) (review.Item, error) {
	parts := strings.SplitN(text, "\x00", 6)
	if len(parts) != 6 {
		return review.Item{}, errors.New("record of the review queue has no head")
	}
	return review.Decode(tenant, []byte(parts[5]))
}

// parseNumber parses a number of a script.
func parseNumber(text string) (int64, error) {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("redis answered %.20q, want a number", text)
	}
	return n, nil
}
