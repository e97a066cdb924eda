// Quiet is a module that is asked about every message and changes none: with it one
// measures what it costs to ask.
package main

import moot "github.com/mootchat/moot/sdk/go"

func init() {
	moot.Register(moot.Module{
		Name:         "quiet",
		Reads:        []string{"message"},
		Vary:         []string{},
		OnSayReceive: func(*moot.Event) moot.Verdict { return moot.Allow() },
		OnSay:        func(*moot.Event, *moot.Connection) moot.Verdict { return moot.Allow() },
	})
}

func main() {}
