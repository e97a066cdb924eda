package config_test

import (
	"strings"
	"testing"
	"time"

	"github.com/mootchat/moot/engine/config"
)

func TestAsksAreRead(t *testing.T) {
	c, err := config.Parse("c", []byte(`
limits: { askRequests: 32 }
modules: { m: { file: f } }
tenants:
  default:
    limits: { askRequests: 8, askCacheBytes: 128KiB }
    chain:
      - module: m
        hooks: [onSayReceive, leave]
        asks:
          toxicity: { url: "https://scores.example.com/v1", headers: { authorization: "Bearer ${WORD}" }, timeout: 300ms, cache: 5m, onError: hold }
          Users.v1_x-y: { url: "http://127.0.0.1:4001/", method: GET, concurrency: 2, perSecond: 3 }
      - { module: m, mode: shadow, asks: false }
`), environment)
	if err != nil {
		t.Fatal(err)
	}
	tenant := c.Tenants["default"]
	first := tenant.Chain[0].Asks["toxicity"]
	if first.URL != "https://scores.example.com/v1" || first.Method != "POST" || first.Timeout != 300*time.Millisecond || first.Cache != 5*time.Minute ||
		first.OnError != "hold" || first.Concurrency != 16 || first.PerSecond != 0 || first.Included || !strings.HasPrefix(first.Headers["authorization"].Reveal(), "Bearer ") {
		t.Errorf("the first is %+v", first)
	}
	second := tenant.Chain[0].Asks["Users.v1_x-y"]
	if second.Method != "GET" || second.OnError != "deny" || second.Timeout != time.Second || second.Concurrency != 2 || second.PerSecond != 3 {
		t.Errorf("the second is %+v", second)
	}
	if !tenant.Chain[1].NoAsks || tenant.Chain[1].Asks != nil || tenant.Chain[0].NoAsks {
		t.Errorf("the shadow is %+v", tenant.Chain[1])
	}
	if tenant.Limits.AskRequests != 8 || tenant.Limits.AskCacheBytes != 128<<10 || c.Limits.AskRequests != 32 {
		t.Errorf("the limits are %+v", tenant.Limits)
	}
}

// TestMistakesOfAsks checks each mistake, with its line.
func TestMistakesOfAsks(t *testing.T) {
	const before = "modules: { m: { file: f } }\ntenants:\n  a:\n    chain:\n      - module: m\n"
	for name, test := range map[string]struct{ entry, want string }{
		"no address":       {"        asks:\n          x: { timeout: 1s }\n", "c:7: tenants.a.chain[0].asks.x.url: is required: set it"},
		"another scheme":   {"        asks: { x: { url: 'ftp://a/' } }\n", `c:6: tenants.a.chain[0].asks.x.url: "ftp://a/" is not a valid address of a service: it does not begin with https://`},
		"a user":           {"        asks: { x: { url: 'https://a:hunter2@b/' } }\n", `is not a valid address of a service: it contains a user: set a header authorization instead`},
		"a name":           {"        asks:\n\n          'x y': { url: 'https://a/' }\n", `c:8: tenants.a.chain[0].asks."x y": "x y" is not a valid name of an ask: use 1 to 64 characters`},
		"a method":         {"        asks: { x: { url: 'https://a/', method: DELETE } }\n", "asks.x.method: \"DELETE\" is not supported: use POST, PUT or GET"},
		"too long":         {"        asks: { x: { url: 'https://a/', timeout: 11s } }\n", "asks.x.timeout:"},
		"an unknown key":   {"        asks: { x: { url: 'https://a/', cashe: 1s } }\n", `asks.x.cashe: unknown key: did you mean "cache"?`},
		"a reserved":       {"        asks:\n          x:\n            url: 'https://a/'\n            headers: { a: b,\n              host: c }\n", "c:10: tenants.a.chain[0].asks.x.headers.host: cannot be set"},
		"a line break":     {"        asks: { x: { url: 'https://a/', headers: { x: \"a\\r\\nb: hunter2\" } } }\n", "asks.x.headers.x: contains a line break"},
		"a header twice":   {"        asks: { x: { url: 'https://a/', headers: { X-A: b, x-a: c } } }\n", `asks.x.headers.x-a: is the same header as "X-A"`},
		"hold at a join":   {"        hooks: [join, onSayReceive]\n        asks:\n          x: { url: 'https://a/', onError: hold }\n", "c:8: tenants.a.chain[0].asks.x.onError: is hold, which is possible only at onSayReceive"},
		"hold at none":     {"        hooks: [say]\n        asks: { x: { url: 'https://a/', onError: hold } }\n", "asks.x.onError: is hold"},
		"false":            {"        priority: 7\n        asks: false\n", "c:7: tenants.a.chain[0].asks: is false, and the entry is no shadow"},
		"true":             {"        asks: true\n", "asks: must be a mapping, not true or false"},
		"seventeen":        {"        asks: { " + many(17) + " }\n", "asks: has 17 asks, and a module has at most 16"},
		"too many":         {"        asks: {}\n" + strings.Repeat("      - module: m\n        asks: { "+many(16)+" }\n", 63), "c:132: tenants.a.chain[63].asks: the tenant has more than 1000 asks"},
		"more than a node": {"    limits: { asksPerSecond: 1000 }\n", "c:6: tenants.a.limits.asksPerSecond: 1000 is more than the node's limits.asksPerSecond (500)"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := config.Parse("c", []byte(before+test.entry), environment)
			if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "hunter2@") && name != "a user" {
				t.Errorf("got %v\nwant %s", err, test.want)
			}
		})
	}
}

func many(n int) string {
	var all []string
	for i := range n {
		all = append(all, "x"+string(rune('a'+i))+": { url: 'https://a/' }")
	}
	return strings.Join(all, ", ")
}

// TestTenantsAskOnlyByHTTPS checks that an included file cannot use http, and that its secrets come from its own directory.
func TestTenantsAskOnlyByHTTPS(t *testing.T) {
	path := write(t, map[string]string{
		"config.yaml": "include: [{ files: t.yaml, secrets: keys }]\nmodules: { m: { file: f } }\ntenants: { default: {} }\n",
		"t.yaml":      "tenants:\n  a:\n    chain:\n      - module: m\n        asks:\n          x: { url: 'http://10.0.0.1/' }\n          y: { url: 'https://a/', headers: { authorization: '${file:token}' } }\n",
		"keys/token":  "hunter2hunter2\n",
	})
	c, err := config.Load(path, environment)
	if err == nil || !strings.Contains(err.Error(), "t.yaml:6: tenants.a.chain[0].asks.x.url: does not begin with https://: only the operator's own file may have an http address") || strings.Contains(err.Error(), "asks.y") {
		t.Errorf("got %+v, %v", c, err)
	}
}

// TestChangesOfAsksChangeTheDigest checks that a reload notices each change, also of a secret and of asks: false.
func TestChangesOfAsksChangeTheDigest(t *testing.T) {
	digests := map[[32]byte]string{}
	for _, asks := range []string{"", "asks: { x: { url: 'https://a/' } }", "asks: { x: { url: 'https://a/', cache: 1s } }", "asks: { x: { url: 'https://a/', headers: { a: b } } }",
		"asks: { x: { url: 'https://a/', headers: { a: c } } }", "asks: { y: { url: 'https://a/' } }", "asks: false"} {
		c, err := config.Parse("c", []byte("modules: { m: { file: f } }\ntenants: { default: { chain: [{ module: m, mode: shadow, "+asks+" }] } }"), environment)
		if err != nil {
			t.Fatal(err)
		}
		digest := config.Digest(c)
		if other, twice := digests[digest]; twice {
			t.Errorf("%q has the digest of %q", asks, other)
		}
		digests[digest] = asks
	}
}

func TestEffectiveSettingsShowAsks(t *testing.T) {
	path := write(t, map[string]string{"config.yaml": "modules: { m: { file: f } }\ntenants: { default: { chain: [{ module: m, asks: { x: { url: 'https://a/', headers: { k: hunter2 } } } }, { module: m, mode: shadow, asks: false }] } }\n"})
	var loader config.Loader
	all, err := loader.Effective(t.Context(), path, environment)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, s := range all {
		got[s.Path] = s.Value
	}
	for setting, want := range map[string]string{"tenants.default.chain[0].asks.x.url": `"https://a/"`, "tenants.default.chain[0].asks.x.headers.k": "[set]", "tenants.default.chain[1].asks": "false"} {
		if got[setting] != want {
			t.Errorf("%s is %s, want %s", setting, got[setting], want)
		}
	}
}
