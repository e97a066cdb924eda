package fetch_test

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2"
	"oras.land/oras-go/v2/content/memory"
	orasregistry "oras.land/oras-go/v2/registry"
	"oras.land/oras-go/v2/registry/remote"

	"github.com/mootchat/moot/engine/fetch"
)

// shelf is a registry with HTTPS.
type shelf struct {
	host   string
	config fetch.Config
	client *http.Client
	asked  *atomic.Int64
	spoil  atomic.Bool // serve damaged blobs
}

func newShelf(t *testing.T) *shelf {
	t.Setenv("DOCKER_CONFIG", t.TempDir())
	r := &shelf{}
	keep := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	s, config, asked := elsewhere(t, http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if strings.HasPrefix(q.URL.Path, "/v2/private/") && q.Header.Get("Authorization") != "Basic "+base64.StdEncoding.EncodeToString([]byte("ann:pass")) {
			w.Header().Set("WWW-Authenticate", `Basic realm="shelf"`)
			http.Error(w, "who are you?", http.StatusUnauthorized)
			return
		}
		if strings.HasPrefix(q.URL.Path, "/v2/astray/") && strings.Contains(q.URL.Path, "/blobs/") && q.Method == http.MethodGet {
			http.Redirect(w, q, "http://127.0.0.1:1/blob", http.StatusTemporaryRedirect)
			return
		}
		if r.spoil.Load() && strings.Contains(q.URL.Path, "/blobs/") {
			w = &spoiler{w}
		}
		keep.ServeHTTP(w, q)
	}))
	r.host, r.config, r.client, r.asked = strings.TrimPrefix(s.URL, "https://"), config, s.Client(), asked
	return r
}

type spoiler struct{ http.ResponseWriter }

func (s *spoiler) Write(b []byte) (int, error) {
	return s.ResponseWriter.Write(bytes.ReplaceAll(b, []byte("rule"), []byte("ruse")))
}

// push pushes an artifact under the tag and returns the digest of its manifest. Each
// layer is a media type and a content.
func (r *shelf) push(t *testing.T, name, tag string, layers ...[2]string) ocispec.Descriptor {
	t.Helper()
	store, ctx := memory.New(), t.Context()
	var blobs []ocispec.Descriptor
	for _, l := range layers {
		at, err := oras.PushBytes(ctx, store, l[0], []byte(l[1]))
		if err != nil {
			t.Fatal(err)
		}
		blobs = append(blobs, at)
	}
	at, err := oras.PackManifest(ctx, store, oras.PackManifestVersion1_1, "application/vnd.moot.rule", oras.PackManifestOptions{Layers: blobs})
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Tag(ctx, at, tag); err != nil {
		t.Fatal(err)
	}
	if _, err := oras.Copy(ctx, store, tag, r.repository(name), tag, oras.DefaultCopyOptions); err != nil {
		t.Fatal(err)
	}
	return at
}

func (r *shelf) repository(name string) *remote.Repository {
	return &remote.Repository{Client: r.client, Reference: orasregistry.Reference{Registry: r.host, Repository: name}}
}

const wasm = "application/wasm"

func TestModuleIsFetchedFromARegistry(t *testing.T) {
	r, rule := newShelf(t), []byte("a rule")
	at := r.push(t, "rules/calm", "1", [2]string{"text/markdown", "about it"}, [2]string{wasm, "a rule"})
	tagged, pinned := r.host+"/rules/calm:1", r.host+"/rules/calm@"+at.Digest.String()
	f := fetch.New(r.config)
	gives(t, rule)(f.OCI(t.Context(), pinned, ""))
	before := r.asked.Load()
	gives(t, rule)(f.OCI(t.Context(), pinned, ""))
	gives(t, rule)(f.OCI(t.Context(), tagged, sum(rule)))
	if r.asked.Load() != before {
		t.Errorf("a cached module was requested")
	}
	gives(t, rule)(f.OCI(t.Context(), tagged, ""))
	r.push(t, "rules/calm", "1", [2]string{wasm, "another rule"})
	gives(t, []byte("another rule"))(f.OCI(t.Context(), tagged, ""))
	gives(t, rule)(f.OCI(t.Context(), pinned, ""))
	fails(t, tagged+": its module has the sha256 "+sum([]byte("another rule"))+", not "+sum(nil))(f.OCI(t.Context(), tagged, sum(nil)))
}

func TestContentOfAnotherDigestIsRefused(t *testing.T) {
	r := newShelf(t)
	at := r.push(t, "rules/calm", "1", [2]string{wasm, "a rule"})
	r.spoil.Store(true)
	f := fetch.New(r.config)
	for _, ref := range []string{":1", "@" + at.Digest.String()} {
		fails(t, "cannot read the module: ", "mismatch")(f.OCI(t.Context(), r.host+"/rules/calm"+ref, ""))
	}
	if r.config.Cache.Get("fetched sha256:"+sum([]byte("a rule"))) != nil {
		t.Error("it is kept")
	}
	r.spoil.Store(false)
	gives(t, []byte("a rule"))(f.OCI(t.Context(), r.host+"/rules/calm:1", ""))
}

func TestArtifactsWithoutAModuleAreRefused(t *testing.T) {
	r := newShelf(t)
	r.push(t, "rules/image", "1", [2]string{"application/vnd.oci.image.layer.v1.tar+gzip", "x"})
	r.push(t, "rules/two", "1", [2]string{wasm, "x"}, [2]string{wasm, "y"})
	r.push(t, "rules/none", "1", [2]string{"a/b", "x"}, [2]string{"a/b", "y"})
	r.push(t, "rules/large", "1", [2]string{wasm, strings.Repeat("x", 2000)})
	r.config.Max = 1000
	f := fetch.New(r.config)
	for ref, words := range map[string]string{
		"rules/image:1":                  `the artifact's layer has the type "application/vnd.oci.image.layer.v1.tar+gzip", which is not a module: push it with`,
		"rules/two:1":                    "the artifact has 2 modules and must have one",
		"rules/none:1":                   "none of the artifact's 2 layers is a module",
		"rules/large:1":                  "more than 1000 bytes",
		"rules/large:2":                  "not found: push the artifact, or correct the reference",
		"rules/nowhere:1":                "push the artifact, or correct the reference",
		"rules/large@sha256:" + sum(nil): "push the artifact, or correct the reference",
	} {
		fails(t, r.host+"/"+ref+": ", words)(f.OCI(t.Context(), r.host+"/"+ref, ""))
	}
	r.push(t, "astray/calm", "1", [2]string{wasm, "x"})
	fails(t, "redirected to http://127.0.0.1:1/blob, which is not https")(f.OCI(t.Context(), r.host+"/astray/calm:1", ""))
	fails(t, "invalid")(f.OCI(t.Context(), "calm", ""))
}

func TestModuleOfAnIndexIsTheOneForWasm(t *testing.T) {
	r := newShelf(t)
	other := r.push(t, "rules/many", "other", [2]string{"a/b", "an image"})
	mine := r.push(t, "rules/many", "mine", [2]string{wasm, "a rule"})
	other.Platform = &ocispec.Platform{OS: "linux", Architecture: "amd64"}
	mine.Platform = &ocispec.Platform{OS: "wasip1", Architecture: "wasm"}
	to := r.repository("rules/many")
	index := func(tag string, of ...ocispec.Descriptor) {
		var list []string
		for _, d := range of {
			list = append(list, fmt.Sprintf(`{"mediaType":%q,"digest":%q,"size":%d,"platform":{"os":%q,"architecture":%q}}`, d.MediaType, d.Digest, d.Size, d.Platform.OS, d.Platform.Architecture))
		}
		text := []byte(fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"manifests":[%s]}`, ocispec.MediaTypeImageIndex, strings.Join(list, ",")))
		at := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageIndex, Digest: digest.FromBytes(text), Size: int64(len(text))}
		if err := to.Manifests().PushReference(t.Context(), at, bytes.NewReader(text), tag); err != nil {
			t.Fatal(err)
		}
	}
	index("both", other, mine)
	index("neither", other, other)
	f := fetch.New(r.config)
	gives(t, []byte("a rule"))(f.OCI(t.Context(), r.host+"/rules/many:both", ""))
	fails(t, "the index has 2 manifests and none with the architecture wasm")(f.OCI(t.Context(), r.host+"/rules/many:neither", ""))
}

func TestRegistryWithPassword(t *testing.T) {
	r := newShelf(t)
	plain := r.client.Transport
	r.client.Transport = withPassword{plain}
	r.push(t, "private/calm", "1", [2]string{wasm, "a rule"})
	f := fetch.New(r.config)
	fails(t, "docker login "+r.host)(f.OCI(t.Context(), r.host+"/private/calm:1", ""))
	login := fmt.Sprintf(`{"auths":{%q:{"auth":%q}}}`, r.host, base64.StdEncoding.EncodeToString([]byte("ann:pass")))
	if err := os.WriteFile(filepath.Join(os.Getenv("DOCKER_CONFIG"), "config.json"), []byte(login), 0o600); err != nil {
		t.Fatal(err)
	}
	gives(t, []byte("a rule"))(f.OCI(t.Context(), r.host+"/private/calm:1", ""))
}

type withPassword struct{ http.RoundTripper }

func (p withPassword) RoundTrip(q *http.Request) (*http.Response, error) {
	q = q.Clone(q.Context())
	q.SetBasicAuth("ann", "pass")
	return p.RoundTripper.RoundTrip(q)
}

// TestPasswordsAreSentOverTLSOnly checks that no password is sent to a token service
// without TLS.
func TestPasswordsAreSentOverTLSOnly(t *testing.T) {
	t.Setenv("DOCKER_CONFIG", t.TempDir())
	s, config, _ := elsewhere(t, http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		w.Header().Set("WWW-Authenticate", `Bearer realm="http://127.0.0.1:1/token",service="shelf"`)
		http.Error(w, "who are you?", http.StatusUnauthorized)
	}))
	fails(t, "http://127.0.0.1:1/token", "uses http but registry was contacted over https")(fetch.New(config).OCI(t.Context(), strings.TrimPrefix(s.URL, "https://")+"/rules/calm:1", ""))
}
