// The filter of the benchmarks, as it is written in Go: it denies what has "spam" in
// it, and a receiver whose locale begins with x gets nothing.
package main

import (
	"bytes"
	"strings"

	moot "github.com/mootchat/moot/sdk/go"
)

var word = []byte("spam")

func init() {
	moot.Register(moot.Module{
		Name:  "filter",
		Reads: []string{"message", "id", "locale"},
		OnSayReceive: func(e *moot.Event) moot.Verdict {
			if bytes.Contains(e.MessageBytes(), word) {
				return moot.Deny("no spam")
			}
			return moot.Allow()
		},
		OnSay: func(_ *moot.Event, receiver *moot.Connection) moot.Verdict {
			if strings.HasPrefix(receiver.Locale(), "x") {
				return moot.Drop()
			}
			return moot.Allow()
		},
	})
}

func main() {}
