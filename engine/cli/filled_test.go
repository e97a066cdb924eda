package cli

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mootchat/moot/engine/node/nodetest"
)

// TestNoOutputShowsAFilledInValue checks that moot check and moot serve print no value of ${file:...}.
func TestNoOutputShowsAFilledInValue(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"s": "hunter2", "u": "https://hunter2.invalid/calm.wasm", "o": "localhost:1/hunter2/calm:1", "port": "hunter2.invalid:80", "r": "hunter2.invalid:6379", "x.wasm": "hunter2"} {
		nodetest.Write(t, filepath.Join(dir, name), text)
	}
	sum := "'" + strings.Repeat("0", 64) + "'"
	for what, text := range map[string]string{
		"module":     "modules: { m: { file: '${file:s}' } }",
		"in a path":  "modules: { m: { file: '/${file:s}/x.wasm' } }",
		"script":     "modules: { m: { script: '${file:s}.js' } }",
		"url":        "modules: { m: { url: '${file:u}', sha256: " + sum + " } }",
		"registry":   "modules: { m: { oci: '${file:o}' } }",
		"key set":    "tenants: { default: { auth: { jwt: { jwks: '${file:s}' } } } }",
		"public key": "tenants: { default: { auth: { jwt: { publicKey: '${file:s}' } } } }",
		"secret":     "tenants: { default: { auth: { jwt: { secret: '${file:s}' } } } }",
		"cert":       "http: { tls: { cert: '${file:s}', key: '${file:s}' } }",
		"listener":   "http: { listen: '${file:port}' }",
		"Redis":      "cluster: { backend: redis, publishTimeout: 100ms, redis: { addresses: ['${file:r}'] } }",
		"Redis's ca": "cluster: { backend: redis, redis: { tls: true, ca: '${file:s}' } }",
		"a config":   "modules: { b: { builtin: blocklist } }\ntenants: { default: { chain: [{ module: b, config: { words: [x], action: '${file:s}' } }] } }",
		"a key":      "modules: { b: { builtin: blocklist } }\ntenants: { default: { chain: [{ module: b, config: '${file:s}' }] } }",
	} {
		for _, command := range []string{"check", "serve"} {
			if command == "check" && (what == "listener" || strings.HasPrefix(what, "Redis")) {
				continue // moot check opens no listener and no connection to Redis
			}
			file := filepath.Join(dir, "moot.yaml")
			nodetest.Write(t, file, text)
			var out, err bytes.Buffer
			if code := Run(nil, []string{command, "-c", file}, nil, &out, &err); code == exitOK || strings.Contains(out.String()+err.String(), "hunter2") {
				t.Errorf("%s of a filled %s: exit %d\n%s%s", command, what, code, &out, &err)
			}
		}
	}
}
