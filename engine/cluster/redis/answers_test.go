package redis

import (
	"log/slog"
	"strconv"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
)

// FuzzAnswers checks that every answer of Redis to a script, and every content of an inbox, is
// parsed or refused. In the input, | separates values, # begins a number, and ~ is nil.
func FuzzAnswers(f *testing.F) {
	for _, s := range []string{"", "e|1|1|", "e|2|1|d:1|1|a|2|b", "#1|0|g|d|#0|#5|n#x", "some|#0|t/r|id|5 {}", "none|#1|", "#1|n#x|id|5 {}",
		"e|3|#0|d:2|1|1 n.1 a|3|1 n.2 b", "e|3|#1|d:2 c:x", "e|99999999999999999999|#1", "~|~|~|~|~|~|~", "#-1|#9223372036854775807|x", "1|call|id|node|30000|body", "1|answer|id", "2"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		n := &Node{cfg: Config{Log: slog.New(slog.DiscardHandler)}, over: true}
		n.calls.open = map[string]chan reply{"id": make(chan reply, 1)}
		p := newPartition(n, keys{})
		texts := strings.Split(s, "|")
		v := make(values, len(texts))
		for i, text := range texts {
			if number, ok := strings.CutPrefix(text, "#"); ok {
				v[i], _ = strconv.ParseInt(number, 10, 64)
			} else if v[i] = any(text); text == "~" {
				v[i] = nil
			}
		}
		if g, err := parsePage(texts); err == nil {
			for i, m := range g.messages {
				if m.offset < g.from || m.offset > g.top || i > 0 && m.offset <= g.messages[i-1].offset {
					t.Errorf("%q: offset %d of a page from %d to %d", s, m.offset, g.from, g.top)
				}
			}
		}
		if page, _, err := parseHistory(v); err == nil {
			for _, m := range page.Messages {
				if m.Offset == 0 || m.Offset > page.Top.Offset {
					t.Errorf("%q: offset %d of a room at %d", s, m.Offset, page.Top.Offset)
				}
			}
		}
		if taken, err := p.parseTakeAnswer(v); err == nil && len(taken.members) > 0 && taken.what != "some" {
			t.Errorf("%q gave %+v", s, taken)
		}
		if pos, err := parseState(s); err == nil && (pos.offset > maxOffset || len(pos.epoch) > maxEpoch) {
			t.Errorf("%q gave %+v", s, pos)
		}
		_, _, _ = parseBeginning(texts)
		_, _ = p.parseBeat(v)
		_, _, _ = n.parseMembers("t/r", v)
		fields := map[string]any{}
		for i, name := range []string{fieldVersion, fieldKind, fieldID, fieldFrom, fieldTTL, fieldBody} {
			if i < len(v) {
				fields[name] = v[i]
			}
		}
		n.received(redis.XMessage{ID: texts[0], Values: fields}, newDone())
	})
}
