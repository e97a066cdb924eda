package tcp_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/mootchat/moot/engine"
	"github.com/mootchat/moot/engine/tcp"
)

type tokens struct{}

func (tokens) Check(_ context.Context, token string) (engine.Identity, error) {
	if token != "good" {
		return engine.Identity{}, errors.New("token is invalid")
	}
	return engine.Identity{User: "ann"}, nil
}

func takingTokens(e *engine.Config, _ *tcp.Server) {
	e.Tenants[0].Tokens, e.Tenants[0].TokenRequired = tokens{}, true
}

const welcome = `{"welcome":"Welcome to the test api","context":"api"}`

func TestATokenPrecedesOtherVerbs(t *testing.T) {
	everywhere(t, func(s *site) {
		c := s.connect()
		c.send(withID(1, "roomAdd"), `{"event":"auth","token":"good","messageId":2}`, withID(3, "roomAdd"))
		c.wants(`{"error":"a token is needed first (auth TOKEN)","context":"response","messageId":1}`, welcome, ok(2, `{"user":"ann"}`), ok(3, "true"))

		c = s.connect()
		c.send("auth good")
		c.wants(welcome)
		if got := c.receive(); !strings.HasPrefix(got, `{"status":"OK","context":"response","data":{"user":"ann"},"messageId":`) {
			t.Errorf("received %s", got)
		}
		c.send("auth bad")
		if got := c.receive(); !strings.HasPrefix(got, `{"error":"token is invalid","context":"response","messageId":`) {
			t.Errorf("received %s", got)
		}

		c = s.connect()
		c.send("auth bad", "auth good") // one attempt
		c.wants(`{"status":"Bye","context":"api","reason":"token is invalid"}`)
		c.wantsEnd()

		c = s.connect()
		c.send("quit")
		c.wants(`{"status":"Bye","context":"api"}`)
		c.wantsEnd()
	}, takingTokens)
}

func TestTenantsHaveTheirOwnLimitOfALine(t *testing.T) {
	s := newSite(t, func(e *engine.Config, _ *tcp.Server) { e.Tenants[0].Limits.MessageBytes = 100 })
	c := s.dial()
	c.send(strings.Repeat("x", 101))
	c.wants(`{"error":"DATA_LENGTH_TOO_LONG","context":"response"}`)
}
