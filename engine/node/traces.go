package node

import (
	"context"
	"log/slog"
	"time"

	"github.com/mootchat/moot/engine/config"
	"github.com/mootchat/moot/engine/telemetry"
)

// openTraces starts sending traces. It returns nil if telemetry.endpoint is "".
func openTraces(ctx context.Context, cfg *config.Config, node, version string, log *slog.Logger) (*telemetry.Traces, error) {
	c := cfg.Telemetry
	if c.Endpoint == "" {
		return nil, nil
	}
	headers := map[string]string{}
	for name, value := range c.Headers {
		headers[name] = value.Reveal()
	}
	return telemetry.Open(ctx, telemetry.Config{Endpoint: c.Endpoint, Headers: headers, Sample: c.Sample.Fraction(), Version: version, Node: node, Log: log})
}

// lastTraces bounds the time for sending the last traces.
const lastTraces = time.Second

func closeTraces(ctx context.Context, t *telemetry.Traces, log *slog.Logger) {
	if t == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastTraces)
	defer cancel()
	if err := t.Close(ctx); err != nil {
		log.Warn("the last traces were not sent", "error", err)
	}
}
