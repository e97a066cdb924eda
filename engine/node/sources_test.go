package node

import (
	"crypto/sha256"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"testing"

	"github.com/google/go-containerregistry/pkg/registry"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2"
	"oras.land/oras-go/v2/content/memory"
	ociregistry "oras.land/oras-go/v2/registry"
	"oras.land/oras-go/v2/registry/remote"

	"github.com/mootchat/moot/engine/api/client"
	"github.com/mootchat/moot/engine/config"
	"github.com/mootchat/moot/engine/node/nodetest"
	"github.com/mootchat/moot/host"
)

// push pushes a module to a registry and returns the digest of its manifest.
func push(t *testing.T, s *httptest.Server, name, tag string, wasm []byte) string {
	t.Helper()
	store := memory.New()
	layer, err := oras.PushBytes(t.Context(), store, "application/wasm", wasm)
	if err != nil {
		t.Fatal(err)
	}
	at, err := oras.PackManifest(t.Context(), store, oras.PackManifestVersion1_1, "application/vnd.moot.rule", oras.PackManifestOptions{Layers: []ocispec.Descriptor{layer}})
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Tag(t.Context(), at, tag); err != nil {
		t.Fatal(err)
	}
	to := &remote.Repository{Client: s.Client(), Reference: ociregistry.Reference{Registry: s.Listener.Addr().String(), Repository: name}}
	if _, err := oras.Copy(t.Context(), store, tag, to, tag, oras.DefaultCopyOptions); err != nil {
		t.Fatal(err)
	}
	return at.Digest.String()
}

// TestModulesAreFetched checks that modules are fetched from an HTTPS server and a registry, that a reload with a
// module that cannot be fetched changes nothing, and that cached modules need no server.
func TestModulesAreFetched(t *testing.T) {
	dir := t.TempDir()
	rules := map[string][]byte{"/a.wasm": stamp("a", 1)}
	oci := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if content, ok := rules[r.URL.Path]; ok {
			_, _ = w.Write(content)
			return
		}
		oci.ServeHTTP(w, r)
	}))
	defer s.Close()
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	at := push(t, s, "rules/stamp", "1", stamp("b", 1))
	roots := filepath.Join(dir, "roots.pem")
	nodetest.Write(t, roots, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})))

	file := filepath.Join(dir, "moot.yaml")
	configure := func(sum, reference string) {
		nodetest.Write(t, file, fmt.Sprintf(`
http: { listen: "127.0.0.1:0" }
socket: { listen: "127.0.0.1:0" }
admin: { listen: "127.0.0.1:0", key: %q }
drain: 0s
modules:
  a: { url: "%s/a.wasm", sha256: %q }
  b: { oci: "%s/%s" }
tenants: { default: { rooms: { starting: [hall] }, chain: [{ module: a, timeout: 10s }, { module: b, timeout: 10s }] } }
`, adminKey, s.URL, sum, s.Listener.Addr(), reference))
	}
	serve := func() *nodetest.Server {
		cmd := process(t, file)
		cmd.Env = append(os.Environ(), "SSL_CERT_FILE="+roots, "SSL_CERT_DIR="+dir, "XDG_CACHE_HOME="+filepath.Join(dir, "cache"), "DOCKER_CONFIG="+dir)
		return started(t, cmd)
	}
	reload := func(one *nodetest.Server, fits string) {
		t.Helper()
		ask, err := client.New("http://"+one.Admin, adminKey)
		if err != nil {
			t.Fatal(err)
		}
		results, err := ask.Reload(t.Context(), false)
		if got := fmt.Sprintf("%+v", results); err != nil || !regexp.MustCompile(fits).MatchString(got) {
			t.Errorf("a reload gives %s, %v; want %s", got, err, fits)
		}
	}
	heard := func(one *nodetest.Server, a, b int) {
		t.Helper()
		talkTo(t, one.Socket, "say hall hello", fmt.Sprintf(`"receive-a":%d,.*"receive-b":%d,`, a, b))
	}
	sum := func(content []byte) string { return fmt.Sprintf("%x", sha256.Sum256(content)) }

	configure(sum(rules["/a.wasm"]), "rules/stamp:1")
	one := serve()
	heard(one, 1, 1)

	// A moved tag, an address with other content, and a repository that does not exist are
	// errors.
	push(t, s, "rules/stamp", "1", stamp("b", 2))
	reload(one, "OK:true")
	heard(one, 1, 2)
	rules["/a.wasm"] = stamp("a", 2)
	configure(sum([]byte("another")), "rules/stamp:1")
	reload(one, `OK:false.*moot.yaml:7: modules.a: module a: .*/a.wasm has the sha256 [0-9a-f]{64}, not `+sum([]byte("another")))
	configure(sum(rules["/a.wasm"]), "rules/nowhere:1")
	reload(one, `OK:false.*moot.yaml:8: modules.b: module b: .*/rules/nowhere:1: .*push the artifact, or correct the reference`)
	if err := one.Log.Await(regexp.MustCompile("msg=\"reload refused, the rules stay as they are\" problem=.*rules/nowhere")); err != nil {
		t.Error(err)
	}
	heard(one, 1, 2)
	configure(sum(rules["/a.wasm"]), "rules/stamp@"+at)
	reload(one, "OK:true")
	heard(one, 2, 1)
	one.Stop(t)

	// Without the server, pinned modules come from the cache, and a tag cannot be resolved.
	s.Close()
	one = serve()
	heard(one, 2, 1)
	configure(sum(rules["/a.wasm"]), "rules/stamp:1")
	reload(one, "OK:false.*connection refused")
	heard(one, 2, 1)
	one.Stop(t)
}

// talkTo joins the hall, sends a line and waits for a line that matches.
func talkTo(t *testing.T, address, say, fits string) {
	t.Helper()
	who, err := nodetest.Dial(address)
	if err != nil {
		t.Fatal(err)
	}
	defer who.Conn.Close()
	fmt.Fprintf(who.Conn, "roomAdd hall\n%s\n", say)
	if err := who.Hear(regexp.MustCompile(fits)); err != nil {
		t.Error(err)
	}
}

// TestAModuleThatHasNotChangedIsKnown checks that a load passes to the host which files it has read before, and that a file
// that has just changed is not among them.
func TestAModuleThatHasNotChangedIsKnown(t *testing.T) {
	if runtime.GOOS != "linux" {
		return // files have no stamps
	}
	old, err := filepath.Abs("../../go.mod") // settled
	if err != nil {
		t.Fatal(err)
	}
	fresh := filepath.Join(t.TempDir(), "fresh.wasm")
	nodetest.Write(t, fresh, "new")
	cfg := &config.Config{Modules: map[string]config.Module{"old": {File: config.Path{Absolute: old}}, "fresh": {File: config.Path{Absolute: fresh}}, "url": {URL: "https://a.example/b.wasm"}}}
	from, sum := new(sources), [32]byte{1}
	load := func() (old, fresh, url host.Module) {
		modules := []host.Module{{Name: "old"}, {Name: "fresh"}, {Name: "url"}}
		from.known(t.Context(), cfg, modules)
		return modules[0], modules[1], modules[2]
	}
	first, _, _ := load()
	if first.Known != ([32]byte{}) {
		t.Fatal("a file is known that no load has read")
	}
	first.Digested(sum)
	for range 2 {
		again, changed, url := load()
		if again.Known != sum {
			t.Error("a file that has not changed is not known")
		}
		if changed.Known != ([32]byte{}) || changed.Digested != nil || url.Digested != nil {
			t.Error("a file that has just changed, or a module that is no file, is known")
		}
	}
}
