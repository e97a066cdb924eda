package fetch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2/content"
	"oras.land/oras-go/v2/errdef"
	"oras.land/oras-go/v2/registry"
	"oras.land/oras-go/v2/registry/remote"
	"oras.land/oras-go/v2/registry/remote/auth"
	"oras.land/oras-go/v2/registry/remote/credentials"
	"oras.land/oras-go/v2/registry/remote/errcode"
)

// maxManifest limits a manifest, in bytes; registries have the same limit.
const maxManifest = 4 << 20

// wasmTypes are the media types of layers with a module.
var wasmTypes = []string{
	"application/wasm",
	"application/vnd.wasm.content.layer.v1+wasm",
	"application/vnd.module.wasm.content.layer.v1+wasm",
}

// OCI returns the WebAssembly module of an artifact in a registry. reference is
// registry/repository:tag or registry/repository@sha256:DIGEST. sum is the SHA-256 of the
// module, 64 hex digits; "" accepts any.
//
// A cached module is not fetched again if a digest or sum names it. A tag is looked up
// each time. Passwords come from `docker login`, unless the policy is restricted. The
// registry "localhost" is reached without TLS.
func (f *Fetcher) OCI(ctx context.Context, reference, sum string) ([]byte, error) {
	ref, err := registry.ParseReference(reference)
	if err != nil {
		return nil, err
	}
	var want digest.Digest
	if sum != "" {
		want = digest.NewDigestFromEncoded(digest.SHA256, sum)
		if err := want.Validate(); err != nil {
			return nil, fmt.Errorf("%s: %w", reference, err)
		}
		if module := f.cached(want); module != nil {
			return module, nil
		}
	}
	module, err := f.within(ctx, hostOf(ref), func(ctx context.Context, client *http.Client) ([]byte, error) { return f.pull(ctx, client, ref, want) })
	if err != nil {
		return nil, fmt.Errorf("%s: %w%s", reference, plain(err), f.hint(err, ref))
	}
	return module, nil
}

func (f *Fetcher) pull(ctx context.Context, client *http.Client, ref registry.Reference, want digest.Digest) ([]byte, error) {
	repository, err := f.repository(client, ref)
	if err != nil {
		return nil, err
	}
	manifest, err := f.manifest(ctx, repository, ref.Reference, true)
	if err != nil {
		return nil, err
	}
	layer, err := moduleOf(manifest)
	if err != nil {
		return nil, err
	}
	if want != "" && layer.Digest != want {
		return nil, wrongSum("its module", layer.Digest, want)
	}
	if err := f.fits(layer.Size); err != nil {
		return nil, err
	}
	return f.blob(ctx, layer, repository.Blobs())
}

func (f *Fetcher) repository(with *http.Client, ref registry.Reference) (*remote.Repository, error) {
	client := &auth.Client{Client: with, Header: http.Header{"User-Agent": {agent}}}
	if !f.policy.Restricted {
		known, err := credentials.NewStoreFromDocker(credentials.StoreOptions{})
		if err != nil {
			return nil, fmt.Errorf("cannot read the passwords of docker login: %w", err)
		}
		client.Credential = credentials.Credential(known)
	}
	return &remote.Repository{Client: client, Reference: ref, PlainHTTP: hostOf(ref) == "localhost"}, nil
}

// hostOf returns the host of a registry without its port.
func hostOf(ref registry.Reference) string {
	host, _, err := net.SplitHostPort(ref.Registry)
	if err != nil {
		host = ref.Registry
	}
	return strings.Trim(host, "[]")
}

// manifest returns the manifest of the artifact. If the reference names an index, it
// returns the manifest for wasm in it; index says whether an index is accepted.
func (f *Fetcher) manifest(ctx context.Context, from *remote.Repository, reference string, index bool) (*manifest, error) {
	text, err := f.manifestText(ctx, from, reference)
	if err != nil {
		return nil, err
	}
	m := new(manifest)
	if err := json.Unmarshal(text, m); err != nil {
		return nil, fmt.Errorf("the manifest is not valid JSON: %w", err)
	}
	if len(m.Manifests) == 0 {
		return m, nil
	}
	if !index {
		return nil, errors.New("the index contains another index")
	}
	for _, one := range m.Manifests {
		if len(m.Manifests) == 1 || one.Platform != nil && one.Platform.Architecture == "wasm" {
			return f.manifest(ctx, from, one.Digest.String(), false)
		}
	}
	return nil, fmt.Errorf("the index has %d manifests and none with the architecture wasm", len(m.Manifests))
}

// manifest is the part of an OCI manifest or index that this package reads.
type manifest struct {
	Layers    []ocispec.Descriptor `json:"layers"`
	Manifests []ocispec.Descriptor `json:"manifests"`
}

func (f *Fetcher) manifestText(ctx context.Context, from *remote.Repository, reference string) ([]byte, error) {
	named := digest.Digest(reference)
	if named.Validate() == nil {
		if text := f.cached(named); text != nil {
			return text, nil
		}
	} else {
		named = ""
	}
	at, body, err := from.Manifests().FetchReference(ctx, reference)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	if at.Size > maxManifest {
		return nil, fmt.Errorf("the manifest has more than %d bytes", maxManifest)
	}
	text, err := content.ReadAll(body, at)
	if err != nil {
		return nil, fmt.Errorf("cannot read the manifest: %w", err)
	}
	if named != "" && at.Digest != named {
		return nil, fmt.Errorf("the registry answered with the manifest %s", at.Digest)
	}
	f.store(at.Digest, text)
	return text, nil
}

// blob returns the content of a descriptor from the cache or the registry.
func (f *Fetcher) blob(ctx context.Context, at ocispec.Descriptor, from content.Fetcher) ([]byte, error) {
	if err := at.Digest.Validate(); err != nil {
		return nil, fmt.Errorf("the module's digest is not valid: %w", err)
	}
	if cached := f.cached(at.Digest); cached != nil {
		return cached, nil
	}
	body, err := from.Fetch(ctx, at)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	whole, err := content.ReadAll(io.LimitReader(body, f.cfg.Max+1), at)
	if err != nil {
		return nil, fmt.Errorf("cannot read the module: %w", err)
	}
	f.store(at.Digest, whole)
	return whole, nil
}

// moduleOf returns the one layer with the media type of a module.
func moduleOf(m *manifest) (layer ocispec.Descriptor, err error) {
	found := slices.DeleteFunc(slices.Clone(m.Layers), func(l ocispec.Descriptor) bool { return !slices.Contains(wasmTypes, l.MediaType) })
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(found) > 1:
		return layer, fmt.Errorf("the artifact has %d modules and must have one", len(found))
	case len(m.Layers) == 1:
		return layer, fmt.Errorf("the artifact's layer has the type %q, which is not a module: push it with `oras push REFERENCE rule.wasm:application/wasm`", m.Layers[0].MediaType)
	}
	return layer, fmt.Errorf("none of the artifact's %d layers is a module: push it with `oras push REFERENCE rule.wasm:application/wasm`", len(m.Layers))
}

// hint returns the end of an error message: advice that depends on the registry's
// answer.
func (f *Fetcher) hint(err error, ref registry.Reference) string {
	var answer *errcode.ErrorResponse
	denied := errors.As(err, &answer) && (answer.StatusCode == http.StatusUnauthorized || answer.StatusCode == http.StatusForbidden) || errors.Is(err, auth.ErrBasicCredentialNotFound)
	switch {
	case denied && f.policy.Restricted:
		return ": fetches of included files use no passwords; define the module in the main file"
	case denied:
		return ": run `docker login " + ref.Registry + "` as the user of the server"
	case errors.Is(err, errdef.ErrNotFound):
		return ": push the artifact, or correct the reference"
	}
	return ""
}
