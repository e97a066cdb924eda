package config_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/mootchat/moot/engine/config"
)

// environment is what the tests of this package find in the environment.
func environment(name string) (string, bool) {
	value, ok := map[string]string{"PORT": "9999", "EMPTY": "", "BROKEN": "\xff", "WORD": "hunter2"}[name]
	return value, ok
}

// expect parses text and compares all problems, one a line.
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
		{"unknown key, near", "http:\n  lisen: x", `c:2: http.lisen: unknown key, did you mean "listen"?`},
		{"unknown key, far", "http: {zzz: x}", `c:1: http.zzz: unknown key, want listen, allowedOrigins, tls, proxyProtocol, reading, handshakeTimeout or demo`},
		{"unknown key, other case", "Drain: 1s", `c:1: Drain: unknown key, did you mean "drain"?`},
		{"unknown key at the top", "zzz: {}", `c:1: zzz: unknown key, want include, http, socket, admin, cluster, limits, sessions, cache, drain, drainDelay, watch, trustedProxies, log, decisions, telemetry, modules or tenants`},
		{"unknown long key", long + ": 1", `c:1: "` + long[:64] + `"...: unknown key, want include, http, socket, admin, cluster, limits, sessions, cache, drain, drainDelay, watch, trustedProxies, log, decisions, telemetry, modules or tenants`},
		{"unknown key with odd characters", `log: {"a b\nc": 1}`, `c:1: log."a b\nc": unknown key, want level or format`},
		{"what has no tag is no key", "-: 1", `c:1: -: unknown key, want include, http, socket, admin, cluster, limits, sessions, cache, drain, drainDelay, watch, trustedProxies, log, decisions, telemetry, modules or tenants`},
		{"duplicate key", "drain: 1s\nlog: {}\ndrain: 2s", `c:3: drain: duplicate key, first at c:1`},
		{"duplicate key in a map", "modules:\n  a: {file: x}\n  a: {file: y}", `c:3: modules.a: duplicate key, first at c:2`},
		{"key is a list", "[a]: 1", `c:1: a key must be text, found a list`},
		{"key is an alias", "drain: &a 1s\n*a : 1", `c:2: a key must be text, found an alias`},
		{"key is a number", "modules: {5: {file: x}}", `c:1: modules.5: a key must be text: put it in quotes`},
		{"mapping wanted, list found", "http: []", `c:1: http: want a mapping, found a list`},
		{"mapping wanted, text found", "\nhttp: x", `c:2: http: want a mapping, found text`},
		{"mapping wanted at the top", "- a", `c:1: want a mapping, found a list`},
		{"mapping wanted for an element", "tenants:\n  default:\n    chain:\n      - x", `c:4: tenants.default.chain[0]: want a mapping, found text`},
		{"list wanted", "tenants: {default: {chain: {a: b}}}", `c:1: tenants.default.chain: want a list, found a mapping`},
		{"list wanted, other tag", "include: !!set [a]", `c:1: include: want a list, found the unknown tag "!!set"`},
		{"text wanted, number found", "http: {listen: 80}", `c:1: http.listen: want text, found a number: put it in quotes`},
		{"text wanted, bool found", "cluster: {node: true}", `c:1: cluster.node: want text, found true or false: put it in quotes`},
		{"text wanted, nothing found", "socket:\n  listen:", `c:2: socket.listen: want text, found nothing: write "" for none`},
		{"text wanted, list found", "log: {level: [info]}", `c:1: log.level: want text, found a list`},
		{"text wanted, odd tag", "log: {level: !mine info}", `c:1: log.level: want text, found the unknown tag "!mine"`},
		{"text wanted in a list", "http: {allowedOrigins: [a, 5]}", `c:1: http.allowedOrigins[1]: want text, found a number: put it in quotes`},
		{"number wanted, text found", "limits: {connections: many}", `c:1: limits.connections: want a whole number, found text`},
		{"number wanted, quotes found", "limits: {connections: '5'}", `c:1: limits.connections: want a whole number, found text: leave out the quotes`},
		{"number with a fraction", "limits: {connections: 1.5}", `c:1: limits.connections: "1.5" is not a whole number such as 1000`},
		{"number in hex", "limits: {connections: 0x10}", `c:1: limits.connections: "0x10" is not a whole number such as 1000`},
		{"number too large for any type", "limits: {connections: 99999999999999999999}", `c:1: limits.connections: "99999999999999999999" is not a whole number such as 1000`},
		{"bool wanted", "tenants: {default: {rooms: {clientsMayCreate: yes}}}", `c:1: tenants.default.rooms.clientsMayCreate: want true or false, found text`},
		{"number too small", "limits: {verbsPerSecond: 0}", `c:1: limits.verbsPerSecond: "0" is out of range, want 1 to 1000000`},
		{"number too large", "tenants: {default: {limits: {rooms: 10000001}}}", `c:1: tenants.default.limits.rooms: "10000001" is out of range, want 0 to 10000000`},
		{"size too small", "limits: {messageBytes: 63}", `c:1: limits.messageBytes: "63" is out of range, want 64B to 1MiB`},
		{"bad size", "limits: {messageBytes: 64KB}", `c:1: limits.messageBytes: "64KB" is not a size such as 65536, 64KiB or 1MiB`},
		{"size with a sign", "limits: {outboxBytes: -1MiB}", `c:1: limits.outboxBytes: "-1MiB" is not a size such as 65536, 64KiB or 1MiB`},
		{"size beyond all numbers", "limits: {outboxBytes: 9999999999GiB}", `c:1: limits.outboxBytes: "9999999999GiB" is not a size such as 65536, 64KiB or 1MiB`},
		{"bad duration", "drain: 30", `c:1: drain: "30" is not a duration such as 250ms or 10s`},
		{"duration out of range", "drain: -1s", `c:1: drain: "-1s" is out of range, want 0s to 1h0m0s`},
		{"duration wanted, bool found", "drain: true", `c:1: drain: want a duration such as 250ms or 10s, found true or false`},
		{"no such backend", "cluster: {backend: raft}", `c:1: cluster.backend: "raft" is not supported, want memory or redis`},
		{"no server", "cluster:\n  redis:\n    addresses: [localhost]", `c:3: cluster.redis.addresses[0]: "localhost" is not a server: want host:port, such as "127.0.0.1:6379"`},
		{"no servers", "cluster:\n  redis:\n    addresses: []", `c:3: cluster.redis.addresses: is empty: want at least one host:port`},
		{"two servers for one", "cluster:\n  redis:\n    addresses: [a:1, b:1]", `c:3: cluster.redis.addresses: has 2 servers: mode standalone has one`},
		{"sentinels without a master", "cluster:\n  redis: {mode: sentinel}", `c:2: cluster.redis.masterName: is required in mode sentinel: what the sentinels call the master`},
		{"a master without sentinels", "cluster: {redis: {masterName: m}}", `c:1: cluster.redis.masterName: is for mode sentinel, and the mode is standalone`},
		{"database of a cluster", "cluster: {redis: {mode: cluster, database: 1}}", `c:1: cluster.redis.database: must be 0 in mode cluster: a Redis Cluster has no other`},
		{"certificates without TLS", "cluster: {redis: {ca: x.pem}}", `c:1: cluster.redis.tls: is false, but certificates are given: set it to true`},
		{"half a certificate", "cluster: {redis: {tls: true, key: x.pem}}", `c:1: cluster.redis.cert: and key go together: both or none`},
		{"prefix of keys", "cluster: {redis: {prefix: 'a:b'}}", `c:1: cluster.redis.prefix: "a:b" is an invalid name: want 1 to 63 of a-z, 0-9 and -`},
		{"ephemeral history", "tenants:\n  default:\n    rooms:\n      settings:\n        - history: 5\n          ephemeral: true", `c:6: tenants.default.rooms.settings[0].ephemeral: and history exclude each other: of what is ephemeral nothing is kept`},
		{"lease too short", "cluster: {lease: 100ms}", `c:1: cluster.lease: "100ms" is out of range, want 1s to 1h0m0s`},
		{"one of several, near", "log: {level: debgu}", `c:1: log.level: "debgu" is not supported, did you mean "debug"?`},
		{"one of several, far", "log: {level: all}", `c:1: log.level: "all" is not supported, want debug, info, warn or error`},
		{"bad address", "http: {listen: '8080'}", `c:1: http.listen: "8080" is not an address such as ":8080" or "127.0.0.1:8080"`},
		{"port too large", "http: {listen: ':80800'}", `c:1: http.listen: ":80800" is not an address such as ":8080" or "127.0.0.1:8080"`},
		{"no address", "http: {listen: ''}", `c:1: http.listen: is required`},
		{"bad origin", "http: {allowedOrigins: https://a.b/c}", `c:1: http.allowedOrigins: "https://a.b/c" is not an origin: want "*", "https://host" or "host", without a path`},
		{"bad delimiter", "socket: {delimiter: ''}", `c:1: socket.delimiter: "" is not a delimiter: want 1 to 16 bytes`},
		{"bad node", "cluster: {node: Node_1}", `c:1: cluster.node: "Node_1" is an invalid name: want at most 63 of a-z, 0-9 and -`},
		{"bad name of a module", "modules: {my.rule: {file: x}}", `c:1: modules."my.rule": "my.rule" is an invalid name: want 1 to 63 of a-z, 0-9 and -`},
		{"bad name of a tenant", "tenants: {default: {}, '': {}}", `c:1: tenants."": "" is an invalid name: want 1 to 63 of a-z, 0-9 and -`},
		{"long name of a tenant", "tenants: {default: {}, " + long + ": {}}", `c:1: tenants."` + long[:64] + `"...: "` + long[:64] + `"... is an invalid name: want 1 to 63 of a-z, 0-9 and -`},
		{"module without a file", "modules:\n  a:", `c:2: modules.a: must have one of file, script, url and oci`},
		{"module with an empty file", "modules: {a: {file: ''}}", `c:1: modules.a: must have one of file, script, url and oci`},
		{"module from two places", "modules: {a: {file: x.wasm, script: x.js}}", `c:1: modules.a: must have one of file, script, url and oci`},
		{"address without a sha256", "modules: {a: {url: 'https://x/y.wasm'}}", "c:1: modules.a.url: must have a sha256 beside it, which `sha256sum FILE` gives: what comes from elsewhere may change"},
		{"address that is not https", "modules: {a: {url: 'http://x/y.wasm'}}", `c:1: modules.a.url: "http://x/y.wasm" is not the address of a module: want one that begins with "https://", without a user`},
		{"reference without a tag", "modules: {a: {oci: x.io/rules/calm}}", `c:1: modules.a.oci: "x.io/rules/calm" is not an OCI reference such as "registry.example.com/rules/calm:1" or "...@sha256:DIGEST"`},
		{"script of no language", "modules: {a: {script: x.py}}", `c:1: modules.a.script: "x.py" is no script: want a name that ends in .js, .ts or .lua`},
		{"bad sha256", "modules: {a: {file: x, sha256: ABC}}", `c:1: modules.a.sha256: "ABC" is not a sha256: want 64 hex digits in lower case`},
		{"bad host", "tenants: {default: {match: {host: 'a.b:80'}}}", `c:1: tenants.default.match.host: "a.b:80" is not a host: want a name in lower case without scheme, port or path`},
		{"bad path", "tenants: {default: {match: {path: [/a/]}}}", `c:1: tenants.default.match.path[0]: "/a/" is not a path: want one such as "/acme", without "/" at its end`},
		{"path of everything", "tenants: {default: {match: {path: /}}}", `c:1: tenants.default.match.path: "/" is not a path: want one such as "/acme", without "/" at its end`},
		{"empty name of a room", "tenants: {default: {rooms: {starting: [a, '']}}}", `c:1: tenants.default.rooms.starting[1]: "" is an invalid room name: want 1 to 200 bytes of UTF-8 without control characters`},
		{"control character in the name of a room", `tenants: {default: {rooms: {starting: "a\tb"}}}`, `c:1: tenants.default.rooms.starting: "a\tb" is an invalid room name: want 1 to 200 bytes of UTF-8 without control characters`},
		{"bad pattern in settings", "tenants: {default: {rooms: {settings: [{match: 'a['}]}}}", `c:1: tenants.default.rooms.settings[0].match: "a[" is not a pattern: a "[" is never closed`},
		{"limit that tenants do not have", "tenants: {default: {limits: {writeTimeout: 1s}}}", `c:1: tenants.default.limits.writeTimeout: unknown key, want connections, rooms, messagesPerSecond, messageBytes, connectionsPerIP, roomsPerConnection, verbsPerSecond, simultaneousActions, moduleCPU or outboxBytes`},
		{"limit above the node's", "limits: {roomsPerConnection: 5}\ntenants: {default: {limits: {roomsPerConnection: 6}}}", `c:2: tenants.default.limits.roomsPerConnection: 6 is more than the node's limits.roomsPerConnection, which is 5`},
		{"size above the node's", "tenants: {default: {limits: {outboxBytes: 2MiB}}}", `c:1: tenants.default.limits.outboxBytes: 2MiB is more than the node's limits.outboxBytes, which is 1MiB`},
		{"share above the node's", "tenants: {default: {limits: {moduleCPU: 0.6}}}", `c:1: tenants.default.limits.moduleCPU: 0.6 is more than the node's limits.moduleCPU, which is 0.5`},
		{"tokens with two kinds of key", "tenants: {default: {auth: {jwt: {secret: x, publicKey: y}}}}", `c:1: tenants.default.auth.jwt.publicKey: cannot be beside secret: tokens are checked with one kind of key`},
		{"tokens with keys and a set", "tenants:\n  default:\n    auth:\n      jwt:\n        secret: x\n        jwks: keys.json", `c:6: tenants.default.auth.jwt.jwks: cannot be beside secret or publicKey: tokens are checked with one kind of key`},
		{"tokens without a key", "tenants: {default: {auth: {jwt: {required: true}}}}", `c:1: tenants.default.auth.jwt.required: does nothing without keys: set secret, publicKey or jwks`},
		{"keys over plain HTTP", "tenants: {default: {auth: {jwt: {jwks: 'http://id.example/keys'}}}}", `c:1: tenants.default.auth.jwt.jwks: "http://id.example/keys" is not a key set: want an address that begins with "https://", or the path of a file`},
		{"keys at nobody", "tenants: {default: {auth: {jwt: {jwks: 'https:///keys'}}}}", `c:1: tenants.default.auth.jwt.jwks: "https:///keys" is not a key set: want an address that begins with "https://", or the path of a file`},
		{"bad claim", "tenants: {default: {auth: {jwt: {secret: x, properties: ['a b']}}}}", `c:1: tenants.default.auth.jwt.properties[0]: "a b" is not a name of a property: want 1 to 64 bytes without spaces and commas`},
		{"half of TLS", "http:\n  tls: {cert: a.pem}", `c:2: http.tls: has a cert or a key alone: they go together`},
		{"bad network", "trustedProxies: [10.0.0.0/8, 10.0.0]", `c:1: trustedProxies[1]: "10.0.0" is not a network such as "10.0.0.0/8", or an address`},
		{"headers of nobody", "socket: {proxyProtocol: true}", `c:1: socket.proxyProtocol: needs trustedProxies: nobody else's header is believed`},
		{"two listeners at one address", "http: {listen: ':1'}\nsocket:\n  more:\n    - {listen: ':1', tenant: default}", `c:4: socket.more[0].listen: ":1" is listened on already, at c:1`},
		{"a listener of no tenant", "socket: {more: [{listen: ':1', tenant: acme}]}", `c:1: socket.more[0].tenant: unknown tenant "acme", want default`},
		{"a listener without a tenant", "socket: {more: [{listen: ':1'}]}", `c:1: socket.more[0].tenant: is required`},
		{"tenant that is not there", "socket: {tenant: acme}", `c:1: socket.tenant: unknown tenant "acme", want default`},
		{"key that is short", "admin: {key: secret}", "c:1: admin.key: is too short: want at least 16 bytes, such as `openssl rand -hex 16` gives"},
		{"key of no tenant", "admin: {tenantKeys: {acme: 0123456789abcdef}}", `c:1: admin.tenantKeys.acme: unknown tenant "acme", want default`},
		{"key of a tenant that is empty", "admin: {tenantKeys: {default: ''}}", `c:1: admin.tenantKeys.default: is empty: leave the tenant out, or give it a key`},
		{"key of two owners", "admin:\n  key: 0123456789abcdef\n  tenantKeys: {default: 0123456789abcdef}", `c:3: admin.tenantKeys.default: is the same key as admin.key`},
		{"default tenant that is not there", "log: {}\ntenants:\n  acme: {}", `c:1: socket.tenant: unknown tenant "default", want acme`},
		{"two tenants with a host", "tenants:\n  default:\n  a: {match: {host: x.y}}\n  b:\n    match:\n      host: [w, x.y]", `c:6: tenants.b.match.host[1]: "x.y" already leads to tenant "a" (c:3)`},
		{"two tenants with a path", "tenants:\n  default:\n  a: {match: {path: /p}}\n  b: {match: {path: /p}}", `c:4: tenants.b.match.path: "/p" already leads to tenant "a" (c:3)`},
	} {
		t.Run(test.name, func(t *testing.T) { expect(t, test.text, test.want) })
	}
}

func TestProblemsOfAChainEntry(t *testing.T) {
	const at = "c:5: tenants.default.chain[0]"
	for _, test := range []struct{ line, want string }{
		{"module: ma", `.module: unknown module "ma", want mask`},
		{"module: masc", `.module: unknown module "masc", did you mean "mask"?`},
		{"module: ''", `.module: is required`},
		{"priority: 5", `.module: is required`},
		{"module: mask, hooks: [join, onSayRecieve]", `.hooks[1]: "onSayRecieve" is not supported, did you mean "onSayReceive"?`},
		{"module: mask, hooks: tick", `.hooks: "tick" is not supported, want connect, join, onSayReceive, say, leave, disconnect or action`},
		{"module: mask, room: [a, '{b']", `.room[1]: "{b" is not a pattern: a "{" is never closed`},
		{"module: mask, room: ''", `.room: "" is not a pattern: the pattern is empty`},
		{"module: mask, grants: [emits]", `.grants[0]: "emits" is not a capability, did you mean "emit"?`},
		{"module: mask, grants: [network]", `.grants[0]: "network" is not a capability, want kv, rate, emit, rooms or properties:NAME`},
		{"module: mask, grants: ['properties:']", `.grants[0]: "properties:" is not a capability: want the names of properties, such as "properties:role,locale"`},
		{"module: mask, onError: drop", `.onError: "drop" is not supported, want deny or allow`},
		{"module: mask, mode: shade", `.mode: "shade" is not supported, did you mean "shadow"?`},
		{"module: mask, timeout: 11s", `.timeout: "11s" is out of range, want 1ms to 10s`},
		{"module: mask, memory: 1KiB", `.memory: "1KiB" is out of range, want 64KiB to 64MiB`},
		{"module: mask, priority: high", `.priority: want a whole number, found text`},
		{"module: mask, breaker: {minimum: 0}", `.breaker.minimum: "0" is out of range, want 1 to 1000000`},
		{"module: mask, breaker: {ratio: 0}", `.breaker.ratio: "0" is out of range, want 0.001 to 1`},
		{"module: mask, breaker: {failures: 5}", `.breaker.failures: was removed: set ratio, the share of calls that must fail, and minimum, the calls before it counts`},
		{"module: mask, config: {a: {5: x}}", `.config.a.5: a key must be text: put it in quotes`},
		{"module: mask, config: {a: [1, .inf]}", `.config.a[1]: JSON has no such value`},
		{"module: mask, config: !!int true", `.config: JSON has no such value`},
		{"module: mask, config: !!bool x", `.config: JSON has no such value`},
		{"module: mask, config: !!binary aGk=", `.config: want text, a number, true, false or null, found the unknown tag "!!binary"`},
		{"module: mask, config: !!set {a}", `.config: want a mapping, found the unknown tag "!!set"`},
		{"module: mask, config: {a: 1, a: 2}", `.config.a: duplicate key, first at c:5`},
	} {
		t.Run(test.line, func(t *testing.T) {
			expect(t, "modules: {mask: {file: x}}\ntenants:\n  default:\n    chain:\n      - {"+test.line+"}", at+test.want)
		})
	}
}

func TestBadYAMLIsOneProblemOnTheLineOfTheMistake(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{"http: [a\nlog: {}\n", `c:1: bad YAML: did not find expected ',' or ']'`},
		{"drain: 1s\nlog:\n  - [1,\n  2]\n  - [1\n  2\n", `c:5: bad YAML: did not find expected ',' or ']'`},
		{"http:\n\tlisten: x\n", `c:2: bad YAML: found character that cannot start any token`},
		{"http:\n  listen: x\n log: 3\n", `c:3: bad YAML: did not find expected key`},
		{"a: 1\nb: \"x\nc: 3\nd: 4\n", `c:2: bad YAML: found unexpected end of stream`},
		{"a: 1\nb: 2\n c: 3\nd: 4\n", `c:3: bad YAML: mapping values are not allowed in this context`},
		{"a: 1\nb:\n  - *x\nc: 3\n", `c:3: bad YAML: unknown anchor 'x' referenced`},
		{"a: 1\n\nb: \x00\nc: 3", `c:3: bad YAML: control characters are not allowed`},
		{"a: 1\nb: 2\nc: \xff", `c:3: bad YAML: invalid leading UTF-8 octet`},
		{"log: {}\n---\nlog: {}\n", `c:2: a second document begins here; one file is one document`},
		{strings.Repeat("#", 1<<20) + "\n", `c: the file is larger than 1MiB`},
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
`, `--set: log.level: "loud" is not supported, want debug, info, warn or error
c:5: tenants.default.chain[0].module: unknown module "nobody", there is none
c:6: tenants.default.chain[0].timeout: "soon" is not a duration such as 250ms or 10s
c:7: tenants.default.chain[0].hoks: unknown key, did you mean "hooks"?
c:8: tenants.acme: want a mapping, found text
c:10: limits.conections: unknown key, did you mean "connections"?
c:11: drain: "long" is not a duration such as 250ms or 10s`, "log.level=loud")
}

func TestWhatIsMergedInTwiceIsWrongOnce(t *testing.T) {
	expect(t, "modules: {m: {file: x}}\ntenants:\n  default:\n    chain:\n    - {module: m, config: {a: {<<: [&a {5: x}, *a]}}}",
		`c:5: tenants.default.chain[0].config.a.5: a key must be text: put it in quotes`)
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
	expect(t, "include: \"a\\nb.yaml\"", `c:1: include: cannot include "a\nb.yaml": there is no such file`)
}

func TestDepthIsBounded(t *testing.T) {
	deep := strings.Repeat("[", 70) + strings.Repeat("]", 70)
	expect(t, "modules: {m: {file: x}}\ntenants: {default: {chain: [{module: m, config: "+deep+"}]}}",
		"c:2: tenants.default.chain[0].config"+strings.Repeat("[0]", 60)+": more than 64 values in one another")
}

func TestAliasesCannotStandForBillions(t *testing.T) {
	var text strings.Builder
	text.WriteString("modules: {m: {file: x}}\ntenants:\n  default:\n    chain:\n    - module: m\n      config:\n        a0: &a0 [lol]\n")
	for i := range 12 {
		fmt.Fprintf(&text, "        a%d: &a%d [%s]\n", i+1, i+1, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*a%d,", i), 10), ","))
	}
	_, err := config.Parse("c", []byte(text.String()), nil)
	if p, ok := errors.AsType[config.Problems](err); !ok || len(p) != 1 || p[0].Message != "aliases stand for more than 16MiB" {
		t.Errorf("got %v", err)
	}
	_, err = config.Parse("c", []byte("include: &a [*a]"), nil)
	if err == nil || err.Error() != `c:1: include[0]: want a mapping, found a list` {
		t.Errorf("an anchor in itself: %v", err)
	}
	_, err = config.Parse("c", []byte("log: &a {<<: [*a, *a]}"), nil)
	if p, ok := errors.AsType[config.Problems](err); !ok || len(p) == 0 {
		t.Errorf("an anchor that merges itself: %v", err)
	}
}
