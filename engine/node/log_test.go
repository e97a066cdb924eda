package node

import (
	"bytes"
	"encoding/json"
	"log/slog"
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
