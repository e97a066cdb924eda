package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
)

func TestSecretIsNeverPrinted(t *testing.T) {
	type holder struct {
		Key   Secret
		Empty Secret
		List  []Secret
	}
	h := holder{NewSecret("hunter2"), Secret{}, []Secret{NewSecret("hunter2")}}
	printed := map[string]string{}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d", "%t"} {
		printed[verb] = fmt.Sprintf(verb, h)
		printed[verb+" of a pointer"] = fmt.Sprintf(verb, &h)
	}
	j, err := json.Marshal(h)
	if err != nil {
		t.Fatal(err)
	}
	y, err := yaml.Marshal(h)
	if err != nil {
		t.Fatal(err)
	}
	printed["json"], printed["yaml"] = string(j), string(y)
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("m", "key", h.Key, "empty", h.Empty, "all", h)
	printed["text log"] = log.String()
	log.Reset()
	slog.New(slog.NewJSONHandler(&log, nil)).Info("m", "key", h.Key, "empty", h.Empty, "all", h)
	printed["JSON log"] = log.String()
	for how, text := range printed {
		if strings.Contains(text, "hunter2") || strings.Contains(text, "68756e746572") {
			t.Errorf("%s shows it: %s", how, text)
		}
		if !strings.Contains(text, "[set]") || !strings.Contains(text, "[empty]") {
			t.Errorf("%s does not say what is set: %s", how, text)
		}
	}
	if h.Key.Reveal() != "hunter2" {
		t.Error("the secret is lost")
	}
}

func TestProblemsContainNoSecret(t *testing.T) {
	var v struct {
		Key  Secret `yaml:"key"`
		Pin  Secret `yaml:"pin"`
		Good Secret `yaml:"good" required:"true"`
	}
	l := newLoad(func(string) (string, bool) { return "hunter2", true }, disk{})
	l.decoder(Path{Written: "c"}).decode(&v, []byte("key: [hunter2]\npin: 5551234\ngood: ${X}"))
	want := "c:1: key: must be text, not a list\nc:2: pin: must be text, not a number: put it in quotes"
	if got := l.problems.Error(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if v.Good.Reveal() != "hunter2" {
		t.Errorf("a secret from the environment is %q", v.Good.Reveal())
	}
}

func TestMostSimilarNameIsSuggested(t *testing.T) {
	hooks := []string{"connect", "join", "onSayReceive", "say", "leave", "disconnect", "action"}
	for _, test := range []struct{ name, want string }{
		{"conect", "connect"}, {"disconect", "disconnect"}, {"onsayreceive", "onSayReceive"}, {"onSayRecieve", "onSayReceive"},
		{"jion", "join"}, {"leaves", "leave"}, {"sya", "say"}, {"actoin", "action"}, {"tick", ""}, {"", ""}, {"émile", ""},
	} {
		got := suggest(test.name, hooks)
		want := ": use connect, join, onSayReceive, say, leave, disconnect or action"
		if test.want != "" {
			want = fmt.Sprintf(": did you mean %q?", test.want)
		}
		if got != want {
			t.Errorf("%q: got %s, want %s", test.name, got, want)
		}
	}
}
