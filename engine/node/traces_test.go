package node

import (
	"fmt"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/mootchat/moot/engine/cluster/redis/redistest"
	"github.com/mootchat/moot/engine/node/nodetest"
	"github.com/mootchat/moot/engine/telemetry/telemetrytest"
)

// TestTracesOfANodeOnRedis checks that a verb, its hook and its commands to Redis are one trace.
func TestTracesOfANodeOnRedis(t *testing.T) {
	redis, collector, dir := redistest.Start(t), telemetrytest.Start(t), t.TempDir()
	t.Setenv("XDG_CACHE_HOME", filepath.Join(dir, "cache"))
	nodetest.Write(t, filepath.Join(dir, "a.wasm"), string(stamp("a", 1)))
	file := filepath.Join(dir, "moot.yaml")
	nodetest.Write(t, file, fmt.Sprintf(`
http: { listen: "127.0.0.1:0" }
socket: { listen: "127.0.0.1:0" }
admin: { listen: "127.0.0.1:0" }
cluster: { backend: redis, node: tracy, redis: { addresses: [%q] } }
telemetry: { endpoint: %q, headers: { x-key: secret }, sample: 1 }
drain: 0s
modules: { a: { file: a.wasm } }
tenants: { default: { rooms: { starting: [hall] }, chain: [{ module: a, timeout: 10s }] } }
`, redis.Address(), collector.URL))
	t.Run("serve", func(t *testing.T) { // the end of this subtest ends the server, which sends the last traces
		s := inProcess(t, file)
		c, err := nodetest.Dial(s.Socket)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Conn.Close()
		fmt.Fprintln(c.Conn, "roomAdd hall")
		fmt.Fprintln(c.Conn, "say hall the text")
		if err := c.Hear(regexp.MustCompile(`the text`)); err != nil {
			t.Fatal(err)
		}
	})

	spans, headers := collector.Spans()
	byID := map[string]telemetrytest.Span{}
	for _, s := range spans {
		byID[s.Trace+s.ID] = s
	}
	paths := map[string]bool{} // names from the root of the trace
	for _, s := range spans {
		path := s.Name
		for up := s; up.Parent != ""; path = up.Name + " > " + path {
			parent, ok := byID[up.Trace+up.Parent]
			if !ok {
				t.Fatalf("the parent of %+v did not come", up)
			}
			up = parent
		}
		paths[path] = true
		if s.Resource["service.instance.id"] != "tracy" {
			t.Errorf("a span is from %v", s.Resource)
		}
		if regexp.MustCompile(`the text`).MatchString(fmt.Sprint(s.Attributes)) {
			t.Errorf("a span says what was said: %v", s.Attributes)
		}
	}
	for _, want := range []string{"say > hook onSayReceive", "say > publish > evalsha", "hook say", "roomAdd"} {
		if !paths[want] {
			t.Errorf("there is no %s in\n%s", want, collector)
		}
	}
	for path := range paths {
		if regexp.MustCompile(`^(evalsha|get|set|redis|ping|subscribe)`).MatchString(path) {
			t.Errorf("the node's own work is a trace: %s", path)
		}
	}
	if headers.Get("X-Key") != "secret" {
		t.Errorf("the headers are %v", headers)
	}
}
