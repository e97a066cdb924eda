package config

import "fmt"

// checkTenant asks what concerns more than one setting of a tenant, or one of the node too.
func (l *load) checkTenant(c *Config, name string) {
	t := c.Tenants[name]
	l.checkJWT(t.Auth.JWT, cursor{path: "tenants"}.key(name).key("auth").key("jwt"))
	at := cursor{path: "tenants"}.key(name).key("limits")
	least := func(key string, own, node fmt.Stringer, more bool) {
		if path := at.key(key).path; more && !l.bad[path] {
			shown, filled := l.shown[path]
			if !filled {
				shown = own.String()
			}
			l.problem(l.pos(path), path, shown+" is more than the node's limits."+key+l.which(key, node))
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
}

// which says what a limit of the node is, unless ${...} filled it.
func (l *load) which(key string, node fmt.Stringer) string {
	if _, filled := l.shown["limits."+key]; filled {
		return ""
	}
	return fmt.Sprintf(", which is %s", node)
}

// count is a number in a message.
type count int

func (n count) String() string { return fmt.Sprint(int(n)) }

// checkJWT asks for one kind of key, and for nothing that needs a key without one.
func (l *load) checkJWT(j JWT, at cursor) {
	say := func(is bool, key, message string) {
		if path := at.key(key).path; is && !l.bad[path] {
			l.problem(l.pos(path), path, message)
		}
	}
	const needs = "does nothing without keys: set secret, publicKey or jwks"
	secret, public, set := j.Secret.Reveal() != "", j.PublicKey != "", j.JWKS.Written != ""
	say(secret && public, "publicKey", "cannot be beside secret: tokens are checked with one kind of key")
	say(set && (secret || public), "jwks", "cannot be beside secret or publicKey: tokens are checked with one kind of key")
	say(!j.Keys() && j.Required, "required", needs)
	say(!j.Keys() && len(j.Audience) > 0, "audience", needs)
	say(!j.Keys() && j.Issuer != "", "issuer", needs)
	say(!j.Keys() && len(j.Properties) > 0, "properties", needs)
}
