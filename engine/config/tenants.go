package config

import (
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/mootchat/moot/engine/events"
)

// checkTenant reports problems that concern several settings of a tenant, or of a tenant
// and the node.
func (l *load) checkTenant(c *Config, name string) {
	t := c.Tenants[name]
	l.checkJWT(t.Auth.JWT, name)
	l.checkSinks(t.Events, name)
	l.checkAsks(t.Chain, name)
	least := func(key string, own, node fmt.Stringer, more bool) {
		if !more {
			return
		}
		if path := (cursor{path: tenantKey(name)}).key("limits").key(key).path; !l.isBad(path) {
			shown, filled := l.shownAt(path)
			if !filled {
				shown = own.String()
			}
			l.problem(l.pos(path), path, shown+" is more than the node's limits."+key+l.nodeLimit(key, node)+": lower it, or raise limits."+key)
		}
	}
	own, node := t.Limits, c.Limits
	least("connections", count(own.Connections), count(node.Connections), own.Connections > node.Connections)
	least("messageBytes", own.MessageBytes, node.MessageBytes, own.MessageBytes > node.MessageBytes)
	least("roomsPerConnection", count(own.RoomsPerConnection), count(node.RoomsPerConnection), own.RoomsPerConnection > node.RoomsPerConnection)
	least("verbsPerSecond", count(own.VerbsPerSecond), count(node.VerbsPerSecond), own.VerbsPerSecond > node.VerbsPerSecond)
	least("simultaneousActions", count(own.SimultaneousActions), count(node.SimultaneousActions), own.SimultaneousActions > node.SimultaneousActions)
	least("moduleCPU", own.ModuleCPU, node.ModuleCPU, own.ModuleCPU > node.ModuleCPU)
	least("outboxBytes", own.OutboxBytes, node.OutboxBytes, own.OutboxBytes > node.OutboxBytes)
	least("historyBytes", own.HistoryBytes, node.HistoryBytes, own.HistoryBytes > node.HistoryBytes)
	least("rooms", count(own.Rooms), count(node.Rooms), node.Rooms > 0 && own.Rooms > node.Rooms)
	least("heldMessages", count(own.HeldMessages), count(node.HeldMessages), own.HeldMessages > node.HeldMessages)
	least("heldBytes", own.HeldBytes, node.HeldBytes, own.HeldBytes > node.HeldBytes)
	least("askRequests", count(own.AskRequests), count(node.AskRequests), own.AskRequests > node.AskRequests)
	least("asksPerSecond", count(own.AsksPerSecond), count(node.AsksPerSecond), own.AsksPerSecond > node.AsksPerSecond)
	least("askCacheBytes", own.AskCacheBytes, node.AskCacheBytes, own.AskCacheBytes > node.AskCacheBytes)
}

// ownHeaders are the names of headers of requests to sinks that the configuration cannot set, in lower case, besides webhook-*.
var ownHeaders = []string{"connection", "content-length", "content-type", "host", "te", "trailer", "transfer-encoding", "upgrade", "user-agent"}

// maxSinks is the largest number of sinks of a tenant. An event is stored once for each.
const maxSinks = 20

// checkSinks checks the number, the names, the secrets and the addresses of a tenant's sinks.
func (l *load) checkSinks(sinks []EventSink, tenant string) {
	names := map[string]Pos{}
	if at := (cursor{path: tenantKey(tenant)}).key("events"); len(sinks) > maxSinks && !l.isBad(at.path) {
		l.problem(l.pos(at.path), at.path, fmt.Sprintf("has %d sinks: at most %d are possible; let one receiver pass events on", len(sinks), maxSinks))
	}
	for i, s := range sinks {
		at := (cursor{path: tenantKey(tenant)}).key("events").index(i)
		report := func(at cursor, message string) {
			if !l.isBad(at.path) {
				l.problem(l.pos(at.path), at.path, message)
			}
		}
		if first, taken := names[s.Name]; taken {
			report(at.key("name"), "already belongs to another sink ("+first.String()+"): set another name")
		}
		names[s.Name] = s.Pos
		if s.Included && strings.HasPrefix(s.URL, "http:") {
			report(at.key("url"), "does not begin with https://: only the operator's own file may have an http address")
		}
		for name, value := range s.Headers {
			switch at := at.key("headers").key(name); {
			case slices.Contains(ownHeaders, strings.ToLower(name)), strings.HasPrefix(strings.ToLower(name), "webhook-"):
				report(at, "is a header that Moot sets itself: remove it")
			case strings.ContainsFunc(value.Reveal(), func(r rune) bool { return unicode.IsControl(r) && r != '\t' }):
				report(at, "contains a line break or another control character: a header is one line of text")
			}
		}
		for k, secret := range s.Secrets {
			if err := events.CheckSecret(secret.Reveal()); err != nil {
				report(at.key("secrets").index(k), err.Error())
			}
		}
	}
}

// nodeLimit returns the part of a message that shows a limit of the node. It does not
// show a limit that ${...} has set.
func (l *load) nodeLimit(key string, node fmt.Stringer) string {
	if _, filled := l.shownAt("limits." + key); filled {
		return ""
	}
	return fmt.Sprintf(" (%s)", node)
}

// count is a number with a String method.
type count int

func (n count) String() string { return fmt.Sprint(int(n)) }

// checkJWT checks that there is at most one kind of key, and that without a key no
// other field is set.
func (l *load) checkJWT(j JWT, tenant string) {
	report := func(is bool, key, message string) {
		if !is {
			return
		}
		if path := (cursor{path: tenantKey(tenant)}).key("auth").key("jwt").key(key).path; !l.isBad(path) {
			l.problem(l.pos(path), path, message)
		}
	}
	const needs = "has no effect without a key: set secret, publicKey or jwks"
	secret, public, set := j.Secret.Reveal() != "", j.PublicKey != "", j.JWKS.Written != ""
	report(secret && public, "publicKey", "and secret exclude each other: set one of secret, publicKey and jwks")
	report(set && (secret || public), "jwks", "excludes secret and publicKey: set one of secret, publicKey and jwks")
	report(!j.Keys() && j.Required, "required", needs)
	report(!j.Keys() && len(j.Audience) > 0, "audience", needs)
	report(!j.Keys() && j.Issuer != "", "issuer", needs)
	report(!j.Keys() && len(j.Properties) > 0, "properties", needs)
}
