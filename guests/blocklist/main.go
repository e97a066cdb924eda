// Blocklist is a Moot module that masks listed words in messages, or denies or holds the message.
// See README.md.
package main

import (
	"fmt"
	"strings"

	moot "github.com/mootchat/moot/sdk/go"
)

func init() {
	moot.Register(module())
	moot.Rehearse(module(), `{"words":["abc","d e"],"action":"deny"}`)
}

func main() {}

func module() moot.Module {
	r := &rule{Action: "mask", Leet: true, Lookalikes: true}
	return moot.Module{
		Name:         "blocklist",
		Version:      "2.1.0",
		Reads:        []string{"message"},
		Pure:         true,
		Config:       moot.Into(r),
		ConfigSchema: schema,
		Init:         r.compile,
		OnSayReceive: r.receive,
	}
}

const schema = `{"type":"object","additionalProperties":false,"properties":{` +
	`"words":{"type":"array","items":{"type":"string"},"description":"words and phrases to keep out"},` +
	`"action":{"enum":["mask","deny","hold"],"default":"mask"},` +
	`"inside":{"type":"boolean","default":false,"description":"words are found within words, too"},` +
	`"leet":{"type":"boolean","default":true,"description":"d4rn is darn"},` +
	`"lookalikes":{"type":"boolean","default":true,"description":"marks do not count, and letters that look alike are one"}}}`

// rule is the entry's config and the search for its words.
type rule struct {
	Words      []string `json:"words"`
	Action     string   `json:"action"`
	Inside     bool     `json:"inside"`
	Leet       bool     `json:"leet"`
	Lookalikes bool     `json:"lookalikes"`

	list list
}

func (r *rule) compile() error {
	if r.Action != "mask" && r.Action != "deny" && r.Action != "hold" {
		return fmt.Errorf("action: %q is not mask, deny or hold", r.Action)
	}
	r.list.alphabet, r.list.inside = alphabet{r.Leet, r.Lookalikes}, r.Inside
	bytes := 0
	for _, w := range r.Words {
		bytes += len(w)
	}
	r.list.grow(len(r.Words), bytes)
	for i, w := range r.Words {
		if err := r.list.add(w); err != nil {
			return fmt.Errorf("words[%d]: %q %w", i, cut(w), err)
		}
	}
	r.list.automaton.finish()
	return nil
}

// cut returns the beginning of a word for an error, which has at most 1024 bytes.
func cut(word string) string {
	if all := []rune(word); len(all) > 64 {
		return string(all[:64]) + "..."
	}
	return word
}

// blocked is the reason of a denial, for the sender, and of a hold, for moderators.
const blocked = "the message holds a blocked word"

func (r *rule) receive(e *moot.Event) moot.Verdict {
	message := e.Message()
	clean := r.list.mask
	if e.IsJSON() {
		clean = r.list.maskJSON
	}
	masked := clean(message)
	switch {
	case masked == message:
		return moot.Allow()
	case r.Action == "deny":
		return moot.Deny(blocked)
	case r.Action == "hold":
		return moot.Hold(blocked, 0)
	case e.IsJSON():
		return moot.Rewrite().JSON(masked)
	}
	return moot.Rewrite().Text(masked)
}

// mask returns text with a * for each letter or digit of a listed word, and for each symbol that stands for one.
func (l *list) mask(text string) string {
	var b strings.Builder
	done := 0
	for _, s := range l.find(text) {
		b.WriteString(text[done:s.start])
		for _, r := range text[s.start:s.end] {
			switch {
			case l.lookalikes && invisible(r):
			case inWord(r) || l.leet && isSymbol(r):
				b.WriteByte('*')
			default:
				b.WriteRune(r)
			}
		}
		done = s.end
	}
	if done == 0 {
		return text
	}
	b.WriteString(text[done:])
	return b.String()
}
