// Blocklist masks listed words in messages, or denies the message. The config is
// {"words": ["darn"], "action": "mask" or "deny"}. guests/blocklist does more.
package main

import (
	"fmt"
	"strings"
	"unicode/utf8"

	moot "github.com/mootchat/moot/sdk/go"
)

func init() { moot.Register(module()) }

func main() {}

func module() moot.Module {
	r := &rule{Action: "mask", words: make(map[string]bool)}
	return moot.Module{
		Name:         "blocklist",
		Version:      "1.0.0",
		Reads:        []string{"message"},
		Pure:         true,
		Config:       moot.Into(r),
		ConfigSchema: `{"type":"object","properties":{"words":{"type":"array","items":{"type":"string"}},"action":{"enum":["mask","deny"],"default":"mask"}}}`,
		Init:         r.read,
		OnSayReceive: r.receive,
	}
}

type rule struct {
	Words  []string `json:"words"`
	Action string   `json:"action"`

	words map[string]bool
}

func (r *rule) read() error {
	if r.Action != "mask" && r.Action != "deny" {
		return fmt.Errorf("action: %q is neither mask nor deny", r.Action)
	}
	for _, w := range r.Words {
		if w == "" || strings.ContainsFunc(w, between) {
			return fmt.Errorf("words: %q is not one word", w)
		}
		r.words[small(w)] = true
	}
	return nil
}

// between reports whether a character separates words: a word is a run of letters,
// digits and characters beyond ASCII.
func between(c rune) bool {
	return c < utf8.RuneSelf && !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9')
}

func small(s string) string {
	return strings.Map(func(c rune) rune {
		if 'A' <= c && c <= 'Z' {
			c |= ' '
		}
		return c
	}, s)
}

// mask returns text with a star for each character of a listed word.
func (r *rule) mask(text string) string {
	var b strings.Builder
	for len(text) > 0 {
		end := strings.IndexFunc(text, between)
		if end < 0 {
			end = len(text)
		}
		word := text[:end]
		if r.words[small(word)] {
			word = strings.Repeat("*", utf8.RuneCountInString(word))
		}
		next := min(end+1, len(text))
		b.WriteString(word + text[end:next])
		text = text[next:]
	}
	return b.String()
}

func (r *rule) receive(e *moot.Event) moot.Verdict {
	message := e.Message()
	masked := r.mask(message)
	switch {
	case masked == message:
		return moot.Allow()
	case r.Action == "deny", e.IsJSON(): // a star could change the structure of JSON
		return moot.Deny("the message holds a blocked word")
	}
	return moot.Rewrite().Text(masked)
}
