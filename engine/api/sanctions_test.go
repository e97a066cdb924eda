package api_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/mootchat/moot/engine"
	"github.com/mootchat/moot/engine/api"
	"github.com/mootchat/moot/engine/cluster/memory"
	"github.com/mootchat/moot/engine/enginetest"
	"github.com/mootchat/moot/engine/moderation"
	sanctionmemory "github.com/mootchat/moot/engine/moderation/memory"
)

// unsure is a store whose changes have an unknown outcome.
type unsure struct{ moderation.Store }

var errReplicas = fmt.Errorf("%w: %w", moderation.ErrUnknown, errors.New("too few replicas have the write"))

func (unsure) Set(_ context.Context, s moderation.Sanction) (moderation.Sanction, error) {
	return s, errReplicas
}

func (unsure) Remove(context.Context, string, string) (bool, error) { return true, errReplicas }

// TestAnUnknownOutcomeOfASanctionIsReported checks that the answer asks the moderator to look whether a sanction was set or removed.
func TestAnUnknownOutcomeOfASanctionIsReported(t *testing.T) {
	n := &node{t: t}
	n.engine = enginetest.New(t, func(c *engine.Config) {
		c.Cluster, c.Moderation = memory.New().Node("one"), unsure{&sanctionmemory.Store{}}
	})
	n.api = api.New(api.Config{Engine: n.engine, Version: "test", Keys: keys(nil), Log: slog.New(slog.DiscardHandler)})
	enginetest.Run(t, n.engine)
	for _, request := range [][3]string{
		{"POST", "/api/tenants/default/sanctions", `{"user":"bob","kind":"mute"}`},
		{"DELETE", "/api/tenants/default/sanctions/x", ""},
	} {
		status, answer := n.request(request[0], request[1], request[2])
		if status != http.StatusGatewayTimeout || code(answer) != api.CodeOutcomeUnknown || !strings.Contains(answer, "too few replicas") {
			t.Errorf("%s: %d %s", request[0], status, answer)
		}
	}
}
