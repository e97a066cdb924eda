package guests_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mootchat/moot/engine/cli/module"
	"github.com/mootchat/moot/guests/builtin"
	"github.com/mootchat/moot/host/hosttest"
	"github.com/mootchat/moot/host/trial"
)

// builtGuests are the guests in other languages than Go, by language.
var builtGuests = map[string]string{"announcer": "Go", "blocklist": "Go", "gate": "Go", "invitations": "Go", "slowmode": "C", "flood": "C++", "redact": "Rust", "links": "Zig", "welcome": "AssemblyScript"}

// built builds a guest in any language and returns its binary. A missing compiler fails the
// test: make tools installs it.
func built(t *testing.T, name string) []byte {
	t.Helper()
	var log bytes.Buffer
	file, err := module.Build(t.Context(), name, filepath.Join(dir, name+".wasm"), &log)
	if err != nil {
		t.Fatalf("%v\n%s", err, &log)
	}
	wasm, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return wasm
}

// TestBuiltGuests builds each guest as its README describes, runs its tests.yaml, and calls
// all of its hooks.
func TestBuiltGuests(t *testing.T) {
	for name, language := range builtGuests {
		t.Run(name+" in "+language, func(t *testing.T) {
			wasm := built(t, name)
			testGuest(t, name, filepath.Join(dir, name+".wasm"), wasm)
		})
	}
}

// TestReadyMadeRules runs the tests.yaml of each ready-made rule, and calls all of its hooks.
func TestReadyMadeRules(t *testing.T) {
	for _, name := range builtin.Names() {
		t.Run(name, func(t *testing.T) { testGuest(t, name, "builtin:"+name, guest(t, "builtin/"+name)) })
	}
}

func testGuest(t *testing.T, name, path string, wasm []byte) {
	t.Helper()
	var out, log bytes.Buffer
	options := module.Options{Cache: cache, Timeout: time.Minute}
	err := module.Test(t.Context(), &out, &log, path, filepath.Join(name, "tests.yaml"), options)
	if err != nil || !strings.HasSuffix(out.String(), " tests passed\n") {
		t.Errorf("%v\n%s%s", err, &out, &log)
	}
	r, err := hosttest.Probe(t.Context(), trial.Config{Wasm: wasm, Timeout: time.Minute, Cache: options.Cache})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Err(); err != nil {
		t.Error(err)
	}
}

// TestBuiltGuestsNameMistakesOfConfigs loads each guest with a config that it must refuse, and checks the reason.
func TestBuiltGuestsNameMistakesOfConfigs(t *testing.T) {
	for name, configs := range map[string]map[string]string{
		"slowmode": {
			`{"wiat":"5s"}`:                  `config.wiat: unknown setting: did you mean "wait"?`,
			`{"wait":"5"}`:                   `wait: "5" is not a wait`,
			`{"wait":"25h"}`:                 `wait: "25h" is not a wait`,
			`{"wait":5}`:                     `config.wait: must be text, not a number`,
			`{"burst":0}`:                    "burst: 0 is not a number from 1 to 100",
			`{"burst":1.5}`:                  `config.burst: must be a whole number`,
			`{"by":"name"}`:                  `config.by: must be one of "user", "connection", "address"`,
			`{"roles":[]}`:                   `config.roles: must be a mapping, not a list`,
			`{"roles":{"guest":"for ever"}}`: `roles.guest: "for ever" is not a wait`,
		},
		"flood": {
			`{"caps":1}`:         `config.caps: unknown setting: there are capitals`,
			`{"capitals":101}`:   "capitals: 101 is not a number from 0 to 100",
			`{"row":"9"}`:        `config.row: must be a whole number, not text`,
			`{"forget":"0s"}`:    `forget: "0s" is not a time from 1ms to 24h`,
			`{"exempt":"mod"}`:   `config.exempt: must be a list, not text`,
			`{"exempt":["a",1]}`: `config.exempt[1]: must be text, not a number`,
		},
		"redact": {
			`{"mail":true}`:     `config.mail: unknown setting: did you mean "email"?`,
			`{"email":1}`:       `config.email: must be true or false or text, not a number`,
			`{"action":"hide"}`: `config.action: must be one of `,
		},
		"links": {
			`{"domains":[]}`:                `config.domains: unknown setting: there are action, allow`,
			`{"allow":"example.com"}`:       `config.allow: must be a list, not text`,
			`{"deny":["https://evil.com"]}`: `deny: "https://evil.com" is not a domain: write example.com`,
			`{"allow":[""]}`:                `allow: "" is not a domain`,
			`{"action":"hide"}`:             `config.action: must be one of `,
		},
		"invitations": {
			`{"room":"a"}`:     `config.room: unknown setting: did you mean "rooms"?`,
			`{"rooms":[""]}`:   "rooms[0]: the pattern is empty",
			`{"roles":[""]}`:   "roles[0]: the role is empty",
			`{"lasts":"1day"}`: `lasts: "1day" is not a time from 1s to 8784h, such as 90m, or 0s`,
			`{"max":0}`:        `config.max: must be at least 1`,
		},
		"newcomers": {
			`{"message":1}`:     `config.message: unknown setting: did you mean "messages"?`,
			`{"messages":0}`:    "config.messages: must be at least 1",
			`{"messages":101}`:  "config.messages: must be at most 100",
			`{"count":"all"}`:   `config.count: must be one of "held", "passed"`,
			`{"action":"deny"}`: `config.action: must be one of "hold", "count"`,
			`{"forget":"0s"}`:   `forget: "0s" is not a time from 1s to 8784h, such as 90m`,
			`{"exempt":"mod"}`:  `config.exempt: must be a list, not text`,
			`{"by":"name"}`:     `config.by: must be one of "user", "address"`,
		},
		"strikes": {
			`{"strike":1}`:      `config.strike: unknown setting: did you mean "strikes"?`,
			`{"strikes":0}`:     "config.strikes: must be at least 1",
			`{"within":"0s"}`:   `within: "0s" is not a time from 1s to 8784h, such as 90m`,
			`{"mutes":[]}`:      "config.mutes: must have at least 1 elements",
			`{"mutes":["10"]}`:  `mutes[0]: "10" is not a time`,
			`{"rooms":"a*b*"}`:  "rooms: use a name in which one * may stand for any text",
			`{"by":"name"}`:     `config.by: must be one of "user", "address"`,
			`{"reason":["no"]}`: `config.reason: must be text, not a list`,
		},
		"welcome": {
			`{"txt":""}`:                `config.txt: unknown setting: did you mean "text"?`,
			`{"text":1}`:                `config.text: must be text, not a number`,
			`{"rooms":["a"]}`:           `config.rooms: must be a mapping, not a list`,
			`{"languages":{"de":null}}`: `config.languages.de: must be text, not null`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			binaries := make(map[string][]byte)
			if builtGuests[name] != "" {
				binaries["built"] = built(t, name)
			}
			if slices.Contains(builtin.Names(), name) {
				binaries["ready-made"] = guest(t, "builtin/"+name)
			}
			for which, wasm := range binaries {
				for config, want := range configs {
					m, err := trial.Load(t.Context(), trial.Config{Wasm: wasm, Settings: json.RawMessage(config), Cache: cache})
					if err == nil {
						m.Close()
					}
					if err == nil || !strings.Contains(err.Error(), want) {
						t.Errorf("%s: %s: %v, want %s", which, config, err, want)
					}
				}
			}
		})
	}
}
