package config_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/mootchat/moot/engine/config"
	"github.com/mootchat/moot/guests/builtin"
)

// environment is the environment of the tests of this package.
func environment(name string) (string, bool) {
	value, ok := map[string]string{"PORT": "9999", "EMPTY": "", "BROKEN": "\xff", "WORD": "hunter2"}[name]
	return value, ok
}

// expect parses text and compares all problems, one per line.
func expect(t *testing.T, text, want string, overrides ...string) {
	t.Helper()
	c, err := config.Parse("c", []byte(text), environment, overrides...)
	if err == nil {
		t.Fatalf("no problem, want\n%s", want)
	}
	if c != nil {
		t.Error("a Config beside an error")
	}
	if _, ok := errors.AsType[config.Problems](err); !ok {
		t.Errorf("the error is a %T", err)
	}
	if got := err.Error(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestEveryKindOfProblemHasItsMessage(t *testing.T) {
	long := strings.Repeat("x", 70)
	for _, test := range []struct{ name, text, want string }{
		{"unknown key, near", "http:\n  lisen: x", `c:2: http.lisen: unknown key: did you mean "listen"?`},
		{"unknown key, far", "http: {zzz: x}", `c:1: http.zzz: unknown key: use listen, allowedOrigins, tls, proxyProtocol, reading, writing, handshakeTimeout or demo`},
		{"unknown key, other case", "Drain: 1s", `c:1: Drain: unknown key: did you mean "drain"?`},
		{"unknown key at the top", "zzz: {}", `c:1: zzz: unknown key: use include, http, socket, admin, cluster, limits, sessions, data, cache, drain, drainDelay, watch, trustedProxies, log, decisions, telemetry, modules or tenants`},
		{"unknown long key", long + ": 1", `c:1: "` + long[:64] + `"...: unknown key: use include, http, socket, admin, cluster, limits, sessions, data, cache, drain, drainDelay, watch, trustedProxies, log, decisions, telemetry, modules or tenants`},
		{"unknown key with odd characters", `log: {"a b\nc": 1}`, `c:1: log."a b\nc": unknown key: use level or format`},
		{"a value without a tag as a key", "-: 1", `c:1: -: unknown key: use include, http, socket, admin, cluster, limits, sessions, data, cache, drain, drainDelay, watch, trustedProxies, log, decisions, telemetry, modules or tenants`},
		{"duplicate key", "drain: 1s\nlog: {}\ndrain: 2s", `c:3: drain: is a duplicate key, first at c:1: remove one of the two`},
		{"duplicate key in a map", "modules:\n  a: {file: x}\n  a: {file: y}", `c:3: modules.a: is a duplicate key, first at c:2: remove one of the two`},
		{"key is a list", "[a]: 1", `c:1: has a list as a key: write the key as text`},
		{"key is an alias", "drain: &a 1s\n*a : 1", `c:2: has an alias as a key: write the key as text`},
		{"key is a number", "modules: {5: {file: x}}", `c:1: modules.5: is a key that is not text: put it in quotes`},
		{"mapping wanted, list found", "http: []", `c:1: http: must be a mapping, not a list`},
		{"mapping wanted, text found", "\nhttp: x", `c:2: http: must be a mapping, not text`},
		{"mapping wanted at the top", "- a", `c:1: must be a mapping, not a list`},
		{"mapping wanted for an element", "tenants:\n  default:\n    chain:\n      - x", `c:4: tenants.default.chain[0]: must be a mapping, not text`},
		{"list wanted", "tenants: {default: {chain: {a: b}}}", `c:1: tenants.default.chain: must be a list, not a mapping`},
		{"list wanted, other tag", "include: !!set [a]", `c:1: include: must be a list, not a value with the unknown tag "!!set"`},
		{"text wanted, number found", "http: {listen: 80}", `c:1: http.listen: must be text, not a number: put it in quotes`},
		{"text wanted, bool found", "cluster: {node: true}", `c:1: cluster.node: must be text, not true or false: put it in quotes`},
		{"text wanted, nothing found", "socket:\n  listen:", `c:2: socket.listen: must be text, not nothing: write "" for none`},
		{"text wanted, list found", "log: {level: [info]}", `c:1: log.level: must be text, not a list`},
		{"text wanted, odd tag", "log: {level: !mine info}", `c:1: log.level: must be text, not a value with the unknown tag "!mine"`},
		{"text wanted in a list", "http: {allowedOrigins: [a, 5]}", `c:1: http.allowedOrigins[1]: must be text, not a number: put it in quotes`},
		{"number wanted, text found", "limits: {connections: many}", `c:1: limits.connections: must be a whole number, not text`},
		{"number wanted, quotes found", "limits: {connections: '5'}", `c:1: limits.connections: must be a whole number, not text: leave out the quotes`},
		{"number with a fraction", "limits: {connections: 1.5}", `c:1: limits.connections: "1.5" is not a valid whole number: use one such as 1000`},
		{"number in hex", "limits: {connections: 0x10}", `c:1: limits.connections: "0x10" is not a valid whole number: use one such as 1000`},
		{"number too large for any type", "limits: {connections: 99999999999999999999}", `c:1: limits.connections: "99999999999999999999" is not a valid whole number: use one such as 1000`},
		{"bool wanted", "tenants: {default: {rooms: {clientsMayCreate: yes}}}", `c:1: tenants.default.rooms.clientsMayCreate: must be true or false, not text`},
		{"number too small", "limits: {verbsPerSecond: 0}", `c:1: limits.verbsPerSecond: "0" is out of range: use 1 to 1000000`},
		{"number too large", "tenants: {default: {limits: {rooms: 10000001}}}", `c:1: tenants.default.limits.rooms: "10000001" is out of range: use 0 to 10000000`},
		{"size too small where 0 is allowed", "limits: {moduleMemory: 1MiB}", `c:1: limits.moduleMemory: "1MiB" is out of range: use 0 or 64MiB to 1024GiB`},
		{"size too small", "limits: {messageBytes: 63}", `c:1: limits.messageBytes: "63" is out of range: use 64B to 1MiB`},
		{"bad size", "limits: {messageBytes: 64KB}", `c:1: limits.messageBytes: "64KB" is not a valid size: use one such as 65536, 64KiB or 1MiB`},
		{"size with a sign", "limits: {outboxBytes: -1MiB}", `c:1: limits.outboxBytes: "-1MiB" is not a valid size: use one such as 65536, 64KiB or 1MiB`},
		{"size beyond all numbers", "limits: {outboxBytes: 9999999999GiB}", `c:1: limits.outboxBytes: "9999999999GiB" is not a valid size: use one such as 65536, 64KiB or 1MiB`},
		{"bad duration", "drain: 30", `c:1: drain: "30" is not a valid duration: use one such as 250ms or 10s`},
		{"duration out of range", "drain: -1s", `c:1: drain: "-1s" is out of range: use 0s to 1h0m0s`},
		{"duration wanted, bool found", "drain: true", `c:1: drain: must be a duration such as 250ms or 10s, not true or false`},
		{"no such backend", "cluster: {backend: raft}", `c:1: cluster.backend: "raft" is not supported: use memory or redis`},
		{"no server", "cluster:\n  redis:\n    addresses: [localhost]", `c:3: cluster.redis.addresses[0]: "localhost" is not a valid server: use host:port, such as "127.0.0.1:6379"`},
		{"no servers", "cluster:\n  redis:\n    addresses: []", `c:3: cluster.redis.addresses: is empty: set at least one host:port`},
		{"two servers for one", "cluster:\n  redis:\n    addresses: [a:1, b:1]", `c:3: cluster.redis.addresses: has 2 servers, and mode standalone uses one: remove the others, or set another mode`},
		{"sentinels without a master", "cluster:\n  redis: {mode: sentinel}", `c:2: cluster.redis.masterName: is required in mode sentinel: set the name that the sentinels have for the master`},
		{"verbs as short as publishing", "cluster: {backend: redis}\nlimits: {verbTimeout: 10s}", `c:2: limits.verbTimeout: must be longer than cluster.publishTimeout (10s), so that clients learn whether a message was published: raise it, or lower cluster.publishTimeout`},
		{"publishing as long as verbs", "cluster:\n  backend: redis\n  publishTimeout: 15s", `c:3: cluster.publishTimeout: must be shorter than limits.verbTimeout (15s), so that clients learn whether a message was published: lower it, or raise limits.verbTimeout`},
		{"a master without sentinels", "cluster: {redis: {masterName: m}}", `c:1: cluster.redis.masterName: is for mode sentinel only: remove it, or change the mode from standalone`},
		{"database of a cluster", "cluster: {redis: {mode: cluster, database: 1}}", `c:1: cluster.redis.database: must be 0 in mode cluster: a Redis Cluster has only database 0`},
		{"certificates without TLS", "cluster: {redis: {ca: x.pem}}", `c:1: cluster.redis.tls: is false, but certificates are set: set it to true, or remove ca, cert and key`},
		{"half a certificate", "cluster: {redis: {tls: true, key: x.pem}}", `c:1: cluster.redis.cert: and key go together: set both or none`},
		{"prefix of keys", "cluster: {redis: {prefix: 'a:b'}}", `c:1: cluster.redis.prefix: "a:b" is not a valid name: use 1 to 63 characters of a-z, 0-9 and -`},
		{"ephemeral history", "tenants:\n  default:\n    rooms:\n      settings:\n        - history: 5\n          ephemeral: true", `c:6: tenants.default.rooms.settings[0].ephemeral: and history exclude each other: an ephemeral room keeps no messages; remove one of the two`},
		{"lease too short", "cluster: {lease: 100ms}", `c:1: cluster.lease: "100ms" is out of range: use 1s to 1h0m0s`},
		{"one of several, near", "log: {level: debgu}", `c:1: log.level: "debgu" is not supported: did you mean "debug"?`},
		{"one of several, far", "log: {level: all}", `c:1: log.level: "all" is not supported: use debug, info, warn or error`},
		{"bad address", "http: {listen: '8080'}", `c:1: http.listen: "8080" is not a valid address: use host:port or :port, such as "127.0.0.1:8080"`},
		{"port too large", "http: {listen: ':80800'}", `c:1: http.listen: ":80800" is not a valid address: use host:port or :port, such as "127.0.0.1:8080"`},
		{"no address", "http: {listen: ''}", `c:1: http.listen: is required: set it`},
		{"bad origin", "http: {allowedOrigins: https://a.b/c}", `c:1: http.allowedOrigins: "https://a.b/c" is not a valid origin: use "*", "https://host" or "host", without a path`},
		{"bad delimiter", "socket: {delimiter: ''}", `c:1: socket.delimiter: "" is not a valid delimiter: use 1 to 16 bytes`},
		{"bad node", "cluster: {node: Node_1}", `c:1: cluster.node: "Node_1" is not a valid name: use at most 63 characters of a-z, 0-9 and -`},
		{"bad name of a module", "modules: {my.rule: {file: x}}", `c:1: modules."my.rule": "my.rule" is not a valid name: use 1 to 63 characters of a-z, 0-9 and -`},
		{"bad name of a tenant", "tenants: {default: {}, '': {}}", `c:1: tenants."": "" is not a valid name: use 1 to 63 characters of a-z, 0-9 and -`},
		{"long name of a tenant", "tenants: {default: {}, " + long + ": {}}", `c:1: tenants."` + long[:64] + `"...: "` + long[:64] + `"... is not a valid name: use 1 to 63 characters of a-z, 0-9 and -`},
		{"module without a file", "modules:\n  a:", `c:2: modules.a: must have exactly one of builtin, file, script, url and oci`},
		{"unknown ready-made rule", "modules: {a: {builtin: blocklst}}", `c:1: modules.a.builtin: "blocklst" is not a ready-made rule: use ` + strings.Join(builtin.Names()[:len(builtin.Names())-1], ", ") + " or " + builtin.Names()[len(builtin.Names())-1]},
		{"module with an empty file", "modules: {a: {file: ''}}", `c:1: modules.a: must have exactly one of builtin, file, script, url and oci`},
		{"module from two places", "modules: {a: {file: x.wasm, script: x.js}}", `c:1: modules.a: must have exactly one of builtin, file, script, url and oci`},
		{"address without a sha256", "modules: {a: {url: 'https://x/y.wasm'}}", "c:1: modules.a.url: needs a sha256, because the file at the address may change: add the digest that `sha256sum FILE` prints"},
		{"address that is not https", "modules: {a: {url: 'http://x/y.wasm'}}", `c:1: modules.a.url: "http://x/y.wasm" is not a valid address of a module: use one that begins with "https://", without a user`},
		{"reference without a tag", "modules: {a: {oci: x.io/rules/calm}}", `c:1: modules.a.oci: "x.io/rules/calm" is not a valid OCI reference: use one such as "registry.example.com/rules/calm:1" or "...@sha256:DIGEST"`},
		{"script of no language", "modules: {a: {script: x.py}}", `c:1: modules.a.script: "x.py" is not a script: use a file whose name ends in .js, .ts or .lua`},
		{"bad sha256", "modules: {a: {file: x, sha256: ABC}}", `c:1: modules.a.sha256: "ABC" is not a SHA-256: use 64 hex digits in lower case, as sha256sum prints them`},
		{"bad host", "tenants: {default: {match: {host: 'a.b:80'}}}", `c:1: tenants.default.match.host: "a.b:80" is not a valid host: use a name in lower case without scheme, port and path`},
		{"bad path", "tenants: {default: {match: {path: [/a/]}}}", `c:1: tenants.default.match.path[0]: "/a/" is not a valid path: use one such as "/acme", without "/" at the end`},
		{"path of everything", "tenants: {default: {match: {path: /}}}", `c:1: tenants.default.match.path: "/" is not a valid path: use one such as "/acme", without "/" at the end`},
		{"empty name of a room", "tenants: {default: {rooms: {starting: [a, '']}}}", `c:1: tenants.default.rooms.starting[1]: "" is not a valid room name: use 1 to 200 bytes of UTF-8 without control characters`},
		{"control character in the name of a room", `tenants: {default: {rooms: {starting: "a\tb"}}}`, `c:1: tenants.default.rooms.starting: "a\tb" is not a valid room name: use 1 to 200 bytes of UTF-8 without control characters`},
		{"bad pattern in settings", "tenants: {default: {rooms: {settings: [{match: 'a['}]}}}", `c:1: tenants.default.rooms.settings[0].match: "a[" is not a valid pattern: a "[" has no "]"`},
		{"limit that tenants do not have", "tenants: {default: {limits: {writeTimeout: 1s}}}", `c:1: tenants.default.limits.writeTimeout: unknown key: use connections, rooms, messagesPerSecond, messageBytes, connectionsPerIP, roomsPerConnection, verbsPerSecond, simultaneousActions, moduleCPU, outboxBytes, historyBytes, askRequests, asksPerSecond, askCacheBytes, heldMessages, heldPerAuthor, heldBytes, heldFor or heldRetention`},
		{"limit above the node's", "limits: {roomsPerConnection: 5}\ntenants: {default: {limits: {roomsPerConnection: 6}}}", `c:2: tenants.default.limits.roomsPerConnection: 6 is more than the node's limits.roomsPerConnection (5): lower it, or raise limits.roomsPerConnection`},
		{"rooms above the node's", "tenants: {default: {limits: {rooms: 10001}}}", `c:1: tenants.default.limits.rooms: 10001 is more than the node's limits.rooms (10000): lower it, or raise limits.rooms`},
		{"held messages above the node's", "limits: {heldMessages: 5}\ntenants: {default: {limits: {heldMessages: 6}}}", `c:2: tenants.default.limits.heldMessages: 6 is more than the node's limits.heldMessages (5): lower it, or raise limits.heldMessages`},
		{"held bytes above the node's", "tenants: {default: {limits: {heldBytes: 1GiB}}}", `c:1: tenants.default.limits.heldBytes: 1GiB is more than the node's limits.heldBytes (64MiB): lower it, or raise limits.heldBytes`},
		{"history above the node's", "tenants: {default: {limits: {historyBytes: 32MiB}}}", `c:1: tenants.default.limits.historyBytes: 32MiB is more than the node's limits.historyBytes (16MiB): lower it, or raise limits.historyBytes`},
		{"size above the node's", "tenants: {default: {limits: {outboxBytes: 2MiB}}}", `c:1: tenants.default.limits.outboxBytes: 2MiB is more than the node's limits.outboxBytes (1MiB): lower it, or raise limits.outboxBytes`},
		{"share above the node's", "tenants: {default: {limits: {moduleCPU: 0.6}}}", `c:1: tenants.default.limits.moduleCPU: 0.6 is more than the node's limits.moduleCPU (0.5): lower it, or raise limits.moduleCPU`},
		{"tokens with two kinds of key", "tenants: {default: {auth: {jwt: {secret: x, publicKey: y}}}}", `c:1: tenants.default.auth.jwt.publicKey: and secret exclude each other: set one of secret, publicKey and jwks`},
		{"tokens with keys and a set", "tenants:\n  default:\n    auth:\n      jwt:\n        secret: x\n        jwks: keys.json", `c:6: tenants.default.auth.jwt.jwks: excludes secret and publicKey: set one of secret, publicKey and jwks`},
		{"tokens without a key", "tenants: {default: {auth: {jwt: {required: true}}}}", `c:1: tenants.default.auth.jwt.required: has no effect without a key: set secret, publicKey or jwks`},
		{"keys over plain HTTP", "tenants: {default: {auth: {jwt: {jwks: 'http://id.example/keys'}}}}", `c:1: tenants.default.auth.jwt.jwks: "http://id.example/keys" is not a valid key set: use an address that begins with "https://", or the path of a file`},
		{"keys at nobody", "tenants: {default: {auth: {jwt: {jwks: 'https:///keys'}}}}", `c:1: tenants.default.auth.jwt.jwks: "https:///keys" is not a valid key set: use an address that begins with "https://", or the path of a file`},
		{"bad claim", "tenants: {default: {auth: {jwt: {secret: x, properties: ['a b']}}}}", `c:1: tenants.default.auth.jwt.properties[0]: "a b" is not a valid name of a property: use 1 to 64 bytes without spaces and commas`},
		{"half of TLS", "http:\n  tls: {cert: a.pem}", `c:2: http.tls: has only one of cert and key: set both or none`},
		{"bad network", "trustedProxies: [10.0.0.0/8, 10.0.0]", `c:1: trustedProxies[1]: "10.0.0" is not a valid network: use one such as "10.0.0.0/8", or an IP address`},
		{"headers of nobody", "socket: {proxyProtocol: true}", `c:1: socket.proxyProtocol: needs trustedProxies: set the networks whose PROXY headers are accepted`},
		{"two listeners at one address", "http: {listen: ':1'}\nsocket:\n  more:\n    - {listen: ':1', tenant: default}", `c:4: socket.more[0].listen: ":1" is the address of another listener, at c:1: use another port`},
		{"a listener of no tenant", "socket: {more: [{listen: ':1', tenant: acme}]}", `c:1: socket.more[0].tenant: unknown tenant "acme": use default`},
		{"a listener without a tenant", "socket: {more: [{listen: ':1'}]}", `c:1: socket.more[0].tenant: is required: set it`},
		{"tenant that is not there", "socket: {tenant: acme}", `c:1: socket.tenant: unknown tenant "acme": use default`},
		{"key that is short", "admin: {key: secret}", "c:1: admin.key: is too short: use at least 16 bytes, for example from `openssl rand -hex 16`"},
		{"key of no tenant", "admin: {tenantKeys: {acme: 0123456789abcdef}}", `c:1: admin.tenantKeys.acme: unknown tenant "acme": use default`},
		{"key of a tenant that is empty", "admin: {tenantKeys: {default: ''}}", `c:1: admin.tenantKeys.default: is empty: set a key, or remove the tenant here`},
		{"key of two owners", "admin:\n  key: 0123456789abcdef\n  tenantKeys: {default: 0123456789abcdef}", `c:3: admin.tenantKeys.default: is the same key as admin.key: use a key of its own`},
		{"role that does not exist", "admin:\n  keys:\n    - {name: ann, key: 0123456789abcdef, role: moderater}", `c:3: admin.keys[0].role: "moderater" is not supported: did you mean "moderator"?`},
		{"key without a role", "admin:\n  keys:\n    - {name: ann, key: 0123456789abcdef}", `c:3: admin.keys[0].role: is required: set it`},
		{"key that is empty", "admin: {keys: [{name: ann, key: '', role: viewer}]}", `c:1: admin.keys[0].key: is required: set it`},
		{"named key that is short", "admin: {keys: [{name: ann, key: secret, role: viewer}]}", "c:1: admin.keys[0].key: is too short: use at least 16 bytes, for example from `openssl rand -hex 16`"},
		{"key without a name", "admin: {keys: [{key: 0123456789abcdef, role: viewer}]}", `c:1: admin.keys[0].name: is required: set it`},
		{"bad name of a key", "admin: {keys: [{name: Ann, key: 0123456789abcdef, role: viewer}]}", `c:1: admin.keys[0].name: "Ann" is not a valid name: use 1 to 63 characters of a-z, 0-9 and -`},
		{"two keys with a name", "admin:\n  keys:\n    - {name: ann, key: 0123456789abcdef, role: viewer}\n    - {name: ann, key: 0123456789abcdeg, role: viewer}", `c:4: admin.keys[1].name: "ann" is the name of admin.keys[0]: use a name of its own`},
		{"name of the admin", "admin: {keys: [{name: admin, key: 0123456789abcdef, role: viewer}]}", `c:1: admin.keys[0].name: "admin" is the name of admin.key: use a name of its own`},
		{"named key of two owners", "admin:\n  tenantKeys: {default: 0123456789abcdef}\n  keys: [{name: ann, key: 0123456789abcdef, role: viewer}]", `c:3: admin.keys[0].key: is the same key as admin.tenantKeys.default: use a key of its own`},
		{"named key of no tenant", "admin:\n  keys:\n    - {name: ann, key: 0123456789abcdef, role: viewer, tenants: [default, acme]}", `c:3: admin.keys[0].tenants[1]: unknown tenant "acme": use default`},
		{"default tenant that is not there", "log: {}\ntenants:\n  acme: {}", `c:1: socket.tenant: unknown tenant "default": use acme`},
		{"two tenants with a host", "tenants:\n  default:\n  a: {match: {host: x.y}}\n  b:\n    match:\n      host: [w, x.y]", `c:6: tenants.b.match.host[1]: "x.y" already belongs to tenant "a" (c:3): remove one of the two`},
		{"two tenants with a path", "tenants:\n  default:\n  a: {match: {path: /p}}\n  b: {match: {path: /p}}", `c:4: tenants.b.match.path: "/p" already belongs to tenant "a" (c:3): remove one of the two`},
	} {
		t.Run(test.name, func(t *testing.T) { expect(t, test.text, test.want) })
	}
}

func TestProblemsOfAChainEntry(t *testing.T) {
	const at = "c:5: tenants.default.chain[0]"
	for _, test := range []struct{ line, want string }{
		{"module: ma", `.module: unknown module "ma": use mask`},
		{"module: masc", `.module: unknown module "masc": did you mean "mask"?`},
		{"module: ''", `.module: is required: set it`},
		{"priority: 5", `.module: is required: set it`},
		{"module: mask, hooks: [join, onSayRecieve]", `.hooks[1]: "onSayRecieve" is not supported: did you mean "onSayReceive"?`},
		{"module: mask, hooks: tick", `.hooks: "tick" is not supported: use connect, join, onSayReceive, say, leave, disconnect or action`},
		{"module: mask, room: [a, '{b']", `.room[1]: "{b" is not a valid pattern: a "{" has no "}"`},
		{"module: mask, room: ''", `.room: "" is not a valid pattern: the pattern is empty`},
		{"module: mask, grants: [emits]", `.grants[0]: "emits" is not a capability: did you mean "emit"?`},
		{"module: mask, grants: [network]", `.grants[0]: "network" is not a capability: use kv, rate, emit, rooms, sanctions, members, identity, amend or properties:NAME`},
		{"module: mask, grants: ['properties:']", `.grants[0]: "properties:" is not a valid capability: name properties, such as "properties:role,locale"`},
		{"module: mask, onError: drop", `.onError: "drop" is not supported: use deny or allow`},
		{"module: mask, onExpire: deny", `.onExpire: "deny" is not supported: use reject or release`},
		{"module: mask, mode: shade", `.mode: "shade" is not supported: did you mean "shadow"?`},
		{"module: mask, timeout: 11s", `.timeout: "11s" is out of range: use 1ms to 10s`},
		{"module: mask, memory: 1KiB", `.memory: "1KiB" is out of range: use 64KiB to 64MiB`},
		{"module: mask, priority: high", `.priority: must be a whole number, not text`},
		{"module: mask, breaker: {minimum: 0}", `.breaker.minimum: "0" is out of range: use 1 to 1000000`},
		{"module: mask, breaker: {ratio: 0}", `.breaker.ratio: "0" is out of range: use 0.001 to 1`},
		{"module: mask, breaker: {failures: 5}", `.breaker.failures: was removed: set ratio (the share of calls that fail) and minimum (the calls from which on it counts)`},
		{"module: mask, config: {a: {5: x}}", `.config.a.5: is a key that is not text: put it in quotes`},
		{"module: mask, config: {a: [1, .inf]}", `.config.a[1]: cannot be written as JSON: use a finite number`},
		{"module: mask, config: !!int true", `.config: cannot be written as JSON: use a finite number`},
		{"module: mask, config: !!bool x", `.config: cannot be written as JSON: use a finite number`},
		{"module: mask, config: !!binary aGk=", `.config: must be text, a number, true, false or null, not a value with the unknown tag "!!binary"`},
		{"module: mask, config: !!set {a}", `.config: must be a mapping, not a value with the unknown tag "!!set"`},
		{"module: mask, config: {a: 1, a: 2}", `.config.a: is a duplicate key, first at c:5: remove one of the two`},
	} {
		t.Run(test.line, func(t *testing.T) {
			expect(t, "modules: {mask: {file: x}}\ntenants:\n  default:\n    chain:\n      - {"+test.line+"}", at+test.want)
		})
	}
}

func TestBadYAMLIsOneProblemOnTheLineOfTheMistake(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{"http: [a\nlog: {}\n", `c:1: is not valid YAML: did not find expected ',' or ']'`},
		{"drain: 1s\nlog:\n  - [1,\n  2]\n  - [1\n  2\n", `c:5: is not valid YAML: did not find expected ',' or ']'`},
		{"http:\n\tlisten: x\n", `c:2: is not valid YAML: found character that cannot start any token`},
		{"http:\n  listen: x\n log: 3\n", `c:3: is not valid YAML: did not find expected key`},
		{"a: 1\nb: \"x\nc: 3\nd: 4\n", `c:2: is not valid YAML: found unexpected end of stream`},
		{"a: 1\nb: 2\n c: 3\nd: 4\n", `c:3: is not valid YAML: mapping values are not allowed in this context`},
		{"a: 1\nb:\n  - *x\nc: 3\n", `c:3: is not valid YAML: unknown anchor 'x' referenced`},
		{"a: 1\n\nb: \x00\nc: 3", `c:3: is not valid YAML: control characters are not allowed`},
		{"a: 1\nb: 2\nc: \xff", `c:3: is not valid YAML: invalid leading UTF-8 octet`},
		{"log: {}\n---\nlog: {}\n", `c:2: a second document begins here: a file must have one document; remove the "---"`},
		{strings.Repeat("#", 1<<20) + "\n", `c: the file is larger than 1MiB: split it with include`},
	} {
		t.Run(test.want, func(t *testing.T) { expect(t, test.text, test.want) })
	}
}

func TestAllProblemsAreReportedInOrder(t *testing.T) {
	expect(t, `
tenants:
  default:
    chain:
      - module: nobody
        timeout: soon
        hoks: say
  acme: x
limits:
  conections: 5
drain: long
`, `--set: log.level: "loud" is not supported: use debug, info, warn or error
c:5: tenants.default.chain[0].module: unknown module "nobody": none is defined
c:6: tenants.default.chain[0].timeout: "soon" is not a valid duration: use one such as 250ms or 10s
c:7: tenants.default.chain[0].hoks: unknown key: did you mean "hooks"?
c:8: tenants.acme: must be a mapping, not text
c:10: limits.conections: unknown key: did you mean "connections"?
c:11: drain: "long" is not a valid duration: use one such as 250ms or 10s`, "log.level=loud")
}

func TestProblemOfARepeatedMergeIsReportedOnce(t *testing.T) {
	expect(t, "modules: {m: {file: x}}\ntenants:\n  default:\n    chain:\n    - {module: m, config: {a: {<<: [&a {5: x}, *a]}}}",
		`c:5: tenants.default.chain[0].config.a.5: is a key that is not text: put it in quotes`)
}

func TestManyNamesAreNotListed(t *testing.T) {
	var modules strings.Builder
	for i := range 20 {
		fmt.Fprintf(&modules, "  module-%d: {file: x}\n", i)
	}
	expect(t, "tenants: {default: {chain: [{module: q}]}}\nmodules:\n"+modules.String(),
		`c:1: tenants.default.chain[0].module: unknown module "q"`)
}

func TestMessagesAreOneLineEach(t *testing.T) {
	expect(t, "drain: \"${file:a\\nb}\"", `c:1: drain: "${file:a\nb}": no such file or directory`)
	expect(t, "include: \"a\\nb.yaml\"", `c:1: include: cannot include "a\nb.yaml": the file does not exist`)
}

func TestDepthIsBounded(t *testing.T) {
	deep := strings.Repeat("[", 70) + strings.Repeat("]", 70)
	expect(t, "modules: {m: {file: x}}\ntenants: {default: {chain: [{module: m, config: "+deep+"}]}}",
		"c:2: tenants.default.chain[0].config"+strings.Repeat("[0]", 60)+": has more than 64 nested values: remove levels")
}

func TestExpansionOfAliasesIsLimited(t *testing.T) {
	var text strings.Builder
	text.WriteString("modules: {m: {file: x}}\ntenants:\n  default:\n    chain:\n    - module: m\n      config:\n        a0: &a0 [lol]\n")
	for i := range 12 {
		fmt.Fprintf(&text, "        a%d: &a%d [%s]\n", i+1, i+1, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*a%d,", i), 10), ","))
	}
	_, err := config.Parse("c", []byte(text.String()), nil)
	if p, ok := errors.AsType[config.Problems](err); !ok || len(p) != 1 || p[0].Message != "the aliases of the configuration expand to more than 16MiB: use fewer aliases" {
		t.Errorf("got %v", err)
	}
	_, err = config.Parse("c", []byte("include: &a [*a]"), nil)
	if err == nil || err.Error() != `c:1: include[0]: must be a mapping, not a list` {
		t.Errorf("an anchor in itself: %v", err)
	}
	_, err = config.Parse("c", []byte("log: &a {<<: [*a, *a]}"), nil)
	if p, ok := errors.AsType[config.Problems](err); !ok || len(p) == 0 {
		t.Errorf("an anchor that merges itself: %v", err)
	}
}

// TestMessagesAreBounded checks that a value or a name of 60 KB does not make a long message.
func TestMessagesAreBounded(t *testing.T) {
	long := strings.Repeat("x", 60_000)
	for _, text := range []string{"limits: {outboxBytes: %s}", "log: {level: %s}", "%s: 1", "tenants: {%s: {}}", "tenants: {default: {chain: [{module: %s}]}}",
		"tenants: {default: {chain: [{module: rule, room: '[%s'}]}}", "tenants: {default: {rooms: {settings: [{match: '[%s'}]}}}", "modules: {m: {file: %s, script: %s}}",
		"admin: {listen: %s}", "http: {allowedOrigins: ['%s/*/']}", "trustedProxies: [%s]", "tenants: {default: {auth: {jwt: {publicKey: %s}}}}"} {
		_, err := config.Parse("c", []byte(strings.ReplaceAll(text, "%s", long)), environment)
		for _, line := range strings.Split(fmt.Sprint(err), "\n") {
			if len(line) > 2500 {
				t.Errorf("%s: %d bytes", text, len(line))
			}
		}
	}
}
