package sdk_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mootchat/moot/engine/hook"
	"github.com/mootchat/moot/engine/wire"
	"github.com/mootchat/moot/host"
)

// TestNothingIsLeftAfterARebind has instances of the example of each SDK go from tenant to tenant after each call. The
// host marks all memory and globals before each reset, and compares every byte with the image afterwards. Each tenant
// must get the answers of its own config.
func TestNothingIsLeftAfterARebind(t *testing.T) {
	for _, language := range languages {
		t.Run(language, func(t *testing.T) {
			var log bytes.Buffer
			h, err := host.New(host.Config{VerifyResets: true, Cache: cache, Instances: 1, StartTimeout: time.Minute, ChainTimeout: time.Minute, Log: slog.New(slog.NewTextHandler(&log, nil))})
			if err != nil {
				t.Fatal(err)
			}
			rules := host.Rules{Modules: []host.Module{{Name: "m", Wasm: built(t, filepath.Join(language, "examples/blocklist"))}}}
			for i := range 2 {
				rules.Tenants = append(rules.Tenants, host.Tenant{Name: fmt.Sprint("t", i), CPU: 1, Chain: []host.Entry{{
					Module: "m", Timeout: time.Minute, Isolation: host.PerCall, Config: fmt.Appendf(nil, `{"words":["secret%d"]}`, i)}}})
			}
			r, err := h.Load(t.Context(), rules)
			if err != nil {
				t.Fatal(err)
			}
			h.Swap(r)
			for n := range 20 {
				tenant, text := n%2, "secret0 secret1"
				ev := &hook.Event{Hook: hook.OnSayReceive, Tenant: fmt.Sprint("t", tenant), Room: "lobby", Context: "user", Message: wire.Message{Text: text}}
				v := h.Decide(t.Context(), ev)
				if want := strings.Replace(text, fmt.Sprint("secret", tenant), "*******", 1); v.Outcome != hook.Allowed || ev.Message.Text != want {
					t.Errorf("call %d: %+v, %q, want %q", n, v, ev.Message.Text, want)
				}
			}
			if err := h.Close(); err != nil {
				t.Error(err)
			}
			if n := h.Instances().Resets; n < 10 || strings.Contains(log.String(), "differs") {
				t.Errorf("%d resets\n%s", n, &log)
			}
		})
	}
}
