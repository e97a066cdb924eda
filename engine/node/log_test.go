package node

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mootchat/moot/engine/config"
)

func TestDurationsInLogsAreText(t *testing.T) {
	var out bytes.Buffer
	log, _ := logger(config.Log{Level: "info", Format: "json"}, &out)
	log.With("drain", 30*time.Second).Info("m", "took", 1500*time.Millisecond, slog.Group("in", "wait", time.Microsecond), "n", 7)
	var got struct {
		Drain, Took string
		In          struct{ Wait string }
		N           int
	}
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatalf("%v in %s", err, &out)
	}
	if got.Drain != "30s" || got.Took != "1.5s" || got.In.Wait != "1\u00b5s" || got.N != 7 {
		t.Errorf("%+v of %s", got, &out)
	}
}

// TestNoRecordHasASecret checks that no message, attribute, group or attribute of a logger
// contains a secret.
func TestNoRecordHasASecret(t *testing.T) {
	env := func(string) (string, bool) { return "hunter22", true }
	c, err := config.Parse("moot.yaml", []byte("cluster: { redis: { password: '${PASSWORD}' } }"), env)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	texts := new(atomic.Pointer[strings.Replacer])
	texts.Store(c.LogRedactor())
	log := slog.New(redactingHandler{slog.NewJSONHandler(&out, nil), texts})
	log.With("url", "redis://:hunter22@h").WithGroup("g").Info("AUTH hunter22", "error", errors.New("hunter22"), slog.Group("in", "text", "hunter22"))
	if text := out.String(); strings.Contains(text, "hunter22") || strings.Count(text, "${PASSWORD}") != 4 {
		t.Error(text)
	}
}
