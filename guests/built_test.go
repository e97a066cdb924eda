package guests_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mootchat/moot/engine/cli/module"
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
			var out, log bytes.Buffer
			options := module.Options{Cache: cache, Timeout: time.Minute}
			err := module.Test(t.Context(), &out, &log, filepath.Join(dir, name+".wasm"), filepath.Join(name, "tests.yaml"), options)
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
		})
	}
}

// TestBuiltGuestsSayWhatIsWrong loads each guest with a config that it must refuse, and checks the reason.
func TestBuiltGuestsSayWhatIsWrong(t *testing.T) {
	for name, configs := range map[string]map[string]string{
		"slowmode": {
			`{"wiat":"5s"}`:                  "unknown setting wiat: use wait, burst, roles or by",
			`{"wait":"5"}`:                   `wait: "5" is not a wait`,
			`{"wait":"25h"}`:                 `wait: "25h" is not a wait`,
			`{"wait":5}`:                     `wait: 5 is not a wait`,
			`{"burst":0}`:                    "burst: 0 is not a number from 1 to 100",
			`{"burst":1.5}`:                  "burst: 1.5 is not a number from 1 to 100",
			`{"by":"name"}`:                  `by: "name" is neither user nor connection nor address`,
			`{"roles":[]}`:                   "roles: [] is not an object of ROLE: WAIT",
			`{"roles":{"guest":"for ever"}}`: `roles.guest: "for ever" is not a wait`,
		},
		"flood": {
			`{"caps":1}`:         "unknown setting caps: use repeats, forget, capitals,",
			`{"capitals":101}`:   "capitals: 101 is not a number from 0 to 100",
			`{"row":"9"}`:        `row: "9" is not a number from 0 to 1000`,
			`{"forget":"0s"}`:    `forget: "0s" is not a time from 1ms to 24h`,
			`{"exempt":"mod"}`:   `exempt: "mod" is not a list of roles`,
			`{"exempt":["a",1]}`: "exempt: 1 is not a string",
		},
		"redact": {
			`{"mail":true}`:     "unknown setting mail: use email, phone, card, iban or action",
			`{"email":1}`:       "email: 1 is neither a text nor true nor false",
			`{"action":"hide"}`: `action: "hide" is neither mask nor deny`,
		},
		"links": {
			`{"domains":[]}`:                "there is a setting that is not known; there are allow, deny, bare",
			`{"allow":"example.com"}`:       "must be lists of texts",
			`{"deny":["https://evil.com"]}`: `deny: "https://evil.com" is not a domain: write example.com`,
			`{"allow":[""]}`:                `allow: "" is not a domain`,
			`{"action":"hide"}`:             `action: "hide" is neither deny nor mask`,
		},
		"invitations": {
			`{"room":"a"}`:     `unknown field "room"`,
			`{"rooms":[""]}`:   "rooms[0]: the pattern is empty",
			`{"roles":[""]}`:   "roles[0]: the role is empty",
			`{"lasts":"1day"}`: `lasts: "1day" is not a time from 1s to 8784h, such as 90m, or 0s`,
			`{"max":0}`:        "max: 0 is not a number from 1 to 1000",
		},
		"welcome": {
			`{"txt":""}`:                "unknown setting txt: use text, rooms or languages",
			`{"text":1}`:                "text: 1 is not a string",
			`{"rooms":["a"]}`:           `rooms: ["a"] is not an object of strings`,
			`{"languages":{"de":null}}`: "languages.de: null is not a string",
		},
	} {
		t.Run(name, func(t *testing.T) {
			wasm := built(t, name)
			for config, want := range configs {
				m, err := trial.Load(t.Context(), trial.Config{Wasm: wasm, Settings: json.RawMessage(config), Cache: cache})
				if err == nil {
					m.Close()
				}
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("%s: %v, want %s", config, err, want)
				}
			}
		})
	}
}
