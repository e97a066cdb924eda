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

// builtGuests are those with a tests.yaml, by their language.
var builtGuests = map[string]string{"announcer": "Go", "blocklist": "Go", "gate": "Go", "invitations": "Go", "slowmode": "C", "flood": "C++", "redact": "Rust", "links": "Zig", "welcome": "AssemblyScript"}

// built is the binary of a guest in any language. A toolchain that is not there
// fails: make tools installs them.
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

// TestBuiltGuests builds each as its README says, asks it what is in its tests.yaml, and puts
// it through every hook that it has.
func TestBuiltGuests(t *testing.T) {
	for name, language := range builtGuests {
		t.Run(name+" in "+language, func(t *testing.T) {
			wasm := built(t, name)
			var out, log bytes.Buffer
			options := module.Options{Cache: cache, Timeout: time.Minute}
			err := module.Test(t.Context(), &out, &log, filepath.Join(dir, name+".wasm"), filepath.Join(name, "tests.yaml"), options)
			if err != nil || !strings.HasSuffix(out.String(), " tests are good\n") {
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

// TestBuiltGuestsSayWhatIsWrong gives each a config that it must refuse, and the words for it.
func TestBuiltGuestsSayWhatIsWrong(t *testing.T) {
	for name, configs := range map[string]map[string]string{
		"slowmode": {
			`{"wiat":"5s"}`:                  "there is no setting wiat; there are wait, burst, roles and by",
			`{"wait":"5"}`:                   `wait: "5" is no wait`,
			`{"wait":"25h"}`:                 `wait: "25h" is no wait`,
			`{"wait":5}`:                     `wait: 5 is no wait`,
			`{"burst":0}`:                    "burst: 0 is no number from 1 to 100",
			`{"burst":1.5}`:                  "burst: 1.5 is no number from 1 to 100",
			`{"by":"name"}`:                  `by: "name" is neither user nor connection nor address`,
			`{"roles":[]}`:                   "roles: [] is no object of role: wait",
			`{"roles":{"guest":"for ever"}}`: `roles.guest: "for ever" is no wait`,
		},
		"flood": {
			`{"caps":1}`:         "there is no setting caps; there are repeats, forget, capitals,",
			`{"capitals":101}`:   "capitals: 101 is no number from 0 to 100",
			`{"row":"9"}`:        `row: "9" is no number from 0 to 1000`,
			`{"forget":"0s"}`:    `forget: "0s" is no time from 1ms to 24h`,
			`{"exempt":"mod"}`:   `exempt: "mod" is no list of roles`,
			`{"exempt":["a",1]}`: "exempt: 1 is no text",
		},
		"redact": {
			`{"mail":true}`:     "there is no setting mail; there are email, phone, card, iban and action",
			`{"email":1}`:       "email: 1 is neither a text nor true nor false",
			`{"action":"hide"}`: `action: "hide" is neither mask nor deny`,
		},
		"links": {
			`{"domains":[]}`:                "there is a setting that is not known; there are allow, deny, bare",
			`{"allow":"example.com"}`:       "must be lists of texts",
			`{"deny":["https://evil.com"]}`: `deny: "https://evil.com" is no domain: write example.com`,
			`{"allow":[""]}`:                `allow: "" is no domain`,
			`{"action":"hide"}`:             `action: "hide" is neither deny nor mask`,
		},
		"invitations": {
			`{"room":"a"}`:     `unknown field "room"`,
			`{"rooms":[""]}`:   "rooms[0]: the pattern is empty",
			`{"roles":[""]}`:   "roles[0]: the role is empty",
			`{"lasts":"1day"}`: `lasts: "1day" is no time from 1s to 8784h, such as 90m, nor 0s`,
			`{"max":0}`:        "max: 0 is no number from 1 to 1000",
		},
		"welcome": {
			`{"txt":""}`:                "there is no setting txt; there are text, rooms and languages",
			`{"text":1}`:                "text: 1 is no text",
			`{"rooms":["a"]}`:           `rooms: ["a"] is no object of texts`,
			`{"languages":{"de":null}}`: "languages.de: null is no text",
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
