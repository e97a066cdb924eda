package node

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/mootchat/moot/engine/cluster/redis/redistest"
	"github.com/mootchat/moot/engine/config"
	"github.com/mootchat/moot/engine/telemetry"
)

// TestRedisOverTLS checks a node on a Redis that accepts only TLS and requires client
// certificates.
func TestRedisOverTLS(t *testing.T) {
	cert, key := redistest.Certificate(t)
	tls := redistest.StartTLS(t, cert, key)
	open := func(settings string) error {
		t.Helper()
		text := fmt.Sprintf("cluster: {backend: redis, publishTimeout: 2s, redis: {addresses: [%q], %s}}", tls.TLSAddress(), settings)
		cfg, err := config.Parse("c", []byte(text), nil)
		if err != nil {
			t.Fatal(err)
		}
		g, err := (&Node{cfg: cfg, name: "n", redis: new(telemetry.RoundTrips), log: slog.New(slog.DiscardHandler)}).openBackend(t.Context(), nil)
		if err == nil {
			err = g.close()
		}
		return err
	}
	good := fmt.Sprintf("tls: true, ca: %q, cert: %q, key: %q", cert, cert, key)
	if err := open(good); err != nil {
		t.Error(err)
	}
	for settings, want := range map[string]string{
		"tls: false":                           "cannot reach",
		"tls: true":                            "certificate",
		fmt.Sprintf("tls: true, ca: %q", cert): "cannot reach",
		fmt.Sprintf("tls: true, ca: %q, cert: %q, key: %q", cert, cert, cert): "cluster.redis.cert",
		"tls: true, ca: nowhere.pem":                                          "cluster.redis.ca",
	} {
		if err := open(settings); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want an error with %q", settings, err, want)
		}
	}
}
