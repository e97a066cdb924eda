package ws_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/mootchat/moot/engine"
	"github.com/mootchat/moot/engine/enginetest"
	"github.com/mootchat/moot/engine/ws"
)

// tokens accepts one token, "good-token-of-ann".
type tokens struct{}

func (tokens) Check(_ context.Context, token string) (engine.Identity, error) {
	switch token {
	case "good-token-of-ann":
		return engine.Identity{User: "ann"}, nil
	case "later-token":
		return engine.Identity{}, fmt.Errorf("%w: keys are down", engine.ErrUnchecked)
	}
	return engine.Identity{}, errors.New("token is invalid")
}

func takingTokens(e *engine.Config, _ *ws.Config) {
	e.Tenants[0].Tokens, e.Tenants[0].TokenRequired = tokens{}, true
}

func TestTokensAtConnect(t *testing.T) {
	for _, test := range []struct {
		path, header string
		code         uint16 // 0: let in
		reason       string
	}{
		{"/ws?token=good-token-of-ann", "X-Other: 1", 0, ""},
		{"/primus?sessionID=x&token=good-token-of-ann", "X-Other: 1", 0, ""},
		{"/ws", "Authorization: Bearer good-token-of-ann", 0, ""},
		{"/ws", "Authorization: bearer  good-token-of-ann ", 0, ""},
		{"/ws?token=bad-token", "Authorization: Bearer good-token-of-ann", 0, ""},
		{"/ws?token=good-token-of-ann", "Authorization: Basic YTpi", 0, ""},
		{"/ws", "X-Other: 1", 3502, "token missing"},
		{"/ws?token=", "Authorization: Bearer", 3502, "token missing"},
		{"/ws?token=bad-token", "X-Other: 1", 3502, "token is invalid"},
		{"/ws?token=good-token-of-ann", "Authorization: Bearer bad-token", 3502, "token is invalid"},
		{"/ws?token=later-token", "X-Other: 1", 3011, "token cannot be checked now"},
		{"/primus?token=bad-token", "X-Other: 1", 3502, "token is invalid"},
	} {
		t.Run(test.path+" "+test.header, func(t *testing.T) {
			var log enginetest.Log
			s := newSite(t, takingTokens, func(e *engine.Config, c *ws.Config) {
				e.Log, c.Log = log.Logger(), log.Logger()
			})
			c := s.connect()
			c.raw(s.handshake(test.path, test.header))
			c.upgraded()
			if test.code == 0 {
				c.wants(`{"welcome":"Welcome to the test api","context":"api"}`)
				c.send(`{"event":"auth","token":"bad-token","messageId":1}`)
				c.wants(`{"status":"Error: token is invalid","error":"Error: token is invalid","context":"response","data":{},"messageId":1}`)
				c.send(`{"event":"auth","token":"good-token-of-ann","messageId":1}`)
				c.wants(`{"status":"OK","context":"response","data":{"user":"ann"},"messageId":1}`)
			} else {
				if strings.HasPrefix(test.path, "/primus") && test.code >= 3500 {
					c.wants(`"primus::server::close"`)
				}
				c.wantsClose(test.code, test.reason)
			}
			s.stop()
			if strings.Contains(log.String(), "-token") {
				t.Errorf("a token is in the log:\n%s", log.String())
			}
			if test.code != 0 && !strings.Contains(log.String(), `msg="token refused"`) {
				t.Errorf("the log does not have the reason:\n%s", log.String())
			}
		})
	}
}

// TestARefusedOriginDoesNotCountAsAConnection checks that a connection from a refused
// origin is closed and does not count as a connection.
func TestARefusedOriginDoesNotCountAsAConnection(t *testing.T) {
	s := newSite(t, takingTokens, func(e *engine.Config, _ *ws.Config) { e.Limits.Connections = 1 })
	c := s.connect()
	c.raw(s.handshake("/ws?token=good-token-of-ann", "Origin: https://evil.example"))
	c.upgraded()
	c.wantsClose(3504, "origin not allowed")
	c.Close()
	for {
		c := s.connect()
		c.raw(s.handshake("/ws?token=good-token-of-ann"))
		if res, err := http.ReadResponse(c.r, nil); err != nil || res.StatusCode == 101 {
			if err != nil {
				t.Fatal(err)
			}
			return
		}
	}
}

// TestTenantsOfHostsHaveTheirOwn checks that a host selects a tenant, with its own
// tokens and its own message limit.
func TestTenantsOfHostsHaveTheirOwn(t *testing.T) {
	s := newSite(t, takingTokens, func(e *engine.Config, _ *ws.Config) {
		e.Tenants = append(e.Tenants, engine.TenantConfig{Name: "open", Hosts: []string{"open.example"}, StartingRooms: []string{"r"},
			Limits: engine.Limits{MessageBytes: 100}})
	})
	c := s.connect()
	c.raw(strings.Replace(s.handshake("/ws"), "Host: ", "Host: open.example\r\nX-Was: ", 1))
	c.upgraded()
	c.wants(`{"welcome":"Welcome to the test api","context":"api"}`)
	long := fmt.Sprintf(`{"event":"%s","messageId":1}`, strings.Repeat("x", 100))
	ours := s.dial("/ws?token=good-token-of-ann")
	ours.send(long)
	ours.wants(notThere(strings.Repeat("x", 100)))
	c.send(long)
	c.wantsClose(1009, "message too big")
}
