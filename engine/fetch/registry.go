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

// maxManifest bounds a manifest, in bytes; registries have the same limit.
const maxManifest = 4 << 20

// wasmTypes are what layers with a module are called.
var wasmTypes = []string{
	"application/wasm",
	"application/vnd.wasm.content.layer.v1+wasm",
	"application/vnd.module.wasm.content.layer.v1+wasm",
}

// OCI is the WebAssembly module of an artifact in a registry. A reference is
// registry/repository:tag or registry/repository@sha256:..., and sum the sha256 of the
// module in hex, "" for any. What a digest or sum names is fetched once; what a tag names
// is asked for each time. Passwords are those of `docker login`. The registry
// "localhost" is spoken to without TLS.
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
		if module := f.kept(want); module != nil {
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
	if !f.who.Restricted {
		known, err := credentials.NewStoreFromDocker(credentials.StoreOptions{})
		if err != nil {
			return nil, fmt.Errorf("the passwords of docker login cannot be read: %w", err)
		}
		client.Credential = credentials.Credential(known)
	}
	return &remote.Repository{Client: client, Reference: ref, PlainHTTP: hostOf(ref) == "localhost"}, nil
}

// hostOf is the host of a registry, without its port.
func hostOf(ref registry.Reference) string {
	host, _, err := net.SplitHostPort(ref.Registry)
	if err != nil {
		host = ref.Registry
	}
	return strings.Trim(host, "[]")
}

// manifest is that of the artifact, or of the module among several, if it is an index.
func (f *Fetcher) manifest(ctx context.Context, from *remote.Repository, reference string, index bool) (*manifest, error) {
	text, err := f.manifestText(ctx, from, reference)
	if err != nil {
		return nil, err
	}
	m := new(manifest)
	if err := json.Unmarshal(text, m); err != nil {
		return nil, fmt.Errorf("its manifest is not JSON: %w", err)
	}
	if len(m.Manifests) == 0 {
		return m, nil
	}
	if !index {
		return nil, errors.New("it is an index in an index")
	}
	for _, one := range m.Manifests {
		if len(m.Manifests) == 1 || one.Platform != nil && one.Platform.Architecture == "wasm" {
			return f.manifest(ctx, from, one.Digest.String(), false)
		}
	}
	return nil, fmt.Errorf("it is an index of %d, and none of them is for wasm", len(m.Manifests))
}

// manifest is what concerns a module in the manifest of an artifact, or in an index.
type manifest struct {
	Layers    []ocispec.Descriptor `json:"layers"`
	Manifests []ocispec.Descriptor `json:"manifests"`
}

func (f *Fetcher) manifestText(ctx context.Context, from *remote.Repository, reference string) ([]byte, error) {
	named := digest.Digest(reference)
	if named.Validate() == nil {
		if text := f.kept(named); text != nil {
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
		return nil, fmt.Errorf("its manifest has more than %d bytes", maxManifest)
	}
	text, err := content.ReadAll(body, at)
	if err != nil {
		return nil, fmt.Errorf("its manifest: %w", err)
	}
	if named != "" && at.Digest != named {
		return nil, fmt.Errorf("the registry gives the manifest %s", at.Digest)
	}
	f.keep(at.Digest, text)
	return text, nil
}

// blob is the content of a descriptor, kept or fetched.
func (f *Fetcher) blob(ctx context.Context, at ocispec.Descriptor, from content.Fetcher) ([]byte, error) {
	if err := at.Digest.Validate(); err != nil {
		return nil, fmt.Errorf("the digest of its module: %w", err)
	}
	if kept := f.kept(at.Digest); kept != nil {
		return kept, nil
	}
	body, err := from.Fetch(ctx, at)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	whole, err := content.ReadAll(io.LimitReader(body, f.cfg.Max+1), at)
	if err != nil {
		return nil, fmt.Errorf("its module: %w", err)
	}
	f.keep(at.Digest, whole)
	return whole, nil
}

// moduleOf is the layer that is a module: the one that says so, or the only one.
func moduleOf(m *manifest) (layer ocispec.Descriptor, err error) {
	found := slices.DeleteFunc(slices.Clone(m.Layers), func(l ocispec.Descriptor) bool { return !slices.Contains(wasmTypes, l.MediaType) })
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(found) > 1:
		return layer, fmt.Errorf("it has %d modules, and must have one", len(found))
	case len(m.Layers) == 1:
		return layer, fmt.Errorf("its layer is %q, not a module: push it as `oras push REFERENCE rule.wasm:application/wasm`", m.Layers[0].MediaType)
	}
	return layer, fmt.Errorf("none of its %d layers is a module: push it as `oras push REFERENCE rule.wasm:application/wasm`", len(m.Layers))
}

// hint says what to do about an answer of a registry.
func (f *Fetcher) hint(err error, ref registry.Reference) string {
	var answer *errcode.ErrorResponse
	denied := errors.As(err, &answer) && (answer.StatusCode == http.StatusUnauthorized || answer.StatusCode == http.StatusForbidden) || errors.Is(err, auth.ErrBasicCredentialNotFound)
	switch {
	case denied && f.who.Restricted:
		return ": an included file has no passwords: define the module in the main file"
	case denied:
		return ": the user that the server runs as needs a `docker login " + ref.Registry + "`"
	case errors.Is(err, errdef.ErrNotFound):
		return ": push it, or correct the reference"
	}
	return ""
}
