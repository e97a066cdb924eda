// Package fetch downloads files from HTTPS servers and OCI registries, and caches them by
// digest. It returns a file only if it has the expected digest.
package fetch

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"time"

	"github.com/opencontainers/go-digest"
)

// Config configures a Fetcher. The zero value is ready to use and caches nothing.
type Config struct {
	Cache Cache          // for fetched files; nil: none
	Max   int64          // limit of one file, in bytes; 0: 16 MiB
	Time  time.Duration  // limit for fetching one file; 0: 30 s
	Roots *x509.CertPool // authorities of servers' certificates; nil: the system's
}

// Fetcher fetches files. Its methods are safe for concurrent use.
type Fetcher struct {
	cfg    Config
	policy Policy
}

// Policy limits the addresses that fetches may reach. The zero Policy is for addresses
// that the operator chose.
type Policy struct {
	// Restricted is for addresses that the operator did not choose, such as those of an
	// included file. Restricted fetches reach only public addresses and Networks, and
	// use neither the passwords of `docker login` nor a proxy. Other fetches reach any
	// address, but their redirects must not lead to a network that is more internal
	// than that address.
	Restricted bool

	Networks []netip.Prefix // internal networks that the operator permits
}

// WithPolicy returns a Fetcher with the same configuration and cache, and another policy.
func (f *Fetcher) WithPolicy(p Policy) *Fetcher { return &Fetcher{f.cfg, p} }

// New returns a Fetcher with the zero Policy.
func New(cfg Config) *Fetcher {
	cfg.Max = cmp.Or(cfg.Max, 16<<20)
	cfg.Time = cmp.Or(cfg.Time, 30*time.Second)
	return &Fetcher{cfg, Policy{}}
}

// URL returns the file at an https address. sum is its SHA-256, 64 hex digits in lower
// case; a file with another digest is an error.
func (f *Fetcher) URL(ctx context.Context, address, sum string) ([]byte, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, fmt.Errorf("%q is not a valid address", address)
	}
	if u.Scheme != "https" {
		return nil, fmt.Errorf("%s does not begin with https://", withoutQuery(u))
	}
	want := digest.NewDigestFromEncoded(digest.SHA256, sum)
	if err := want.Validate(); err != nil {
		return nil, fmt.Errorf("%s: set its sha256: 64 hex digits in lower case", withoutQuery(u))
	}
	if content := f.cached(want); content != nil {
		return content, nil
	}
	content, err := f.within(ctx, u.Hostname(), func(ctx context.Context, client *http.Client) ([]byte, error) { return f.download(ctx, client, u) })
	if err != nil {
		return nil, fmt.Errorf("%s: %w", withoutQuery(u), err)
	}
	if have := digest.FromBytes(content); have != want {
		return nil, wrongSum(withoutQuery(u), have, want)
	}
	f.store(want, content)
	return content, nil
}

func wrongSum(what string, have, want digest.Digest) error {
	return fmt.Errorf("%s has the sha256 %s, not %s: if the file was changed on purpose, set the new one here", what, have.Encoded(), want.Encoded())
}

// within calls do with a client for a host and closes the client's connections. It
// gives up after Config.Time.
func (f *Fetcher) within(ctx context.Context, host string, do func(context.Context, *http.Client) ([]byte, error)) ([]byte, error) {
	client := f.client(host)
	defer client.CloseIdleConnections()
	ctx, cancel := context.WithTimeoutCause(ctx, f.cfg.Time, fmt.Errorf("no complete answer within %v", f.cfg.Time))
	defer cancel()
	content, err := do(ctx, client)
	if err != nil && ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return content, err
}

func (f *Fetcher) download(ctx context.Context, client *http.Client, u *url.URL) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("User-Agent", agent)
	response, err := client.Do(request)
	if err != nil {
		return nil, plain(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the server answered %s", response.Status)
	}
	content, err := io.ReadAll(io.LimitReader(response.Body, f.cfg.Max+1))
	if err != nil {
		return nil, fmt.Errorf("the download was cut off: %w", err)
	}
	return content, f.fits(int64(len(content)))
}

func (f *Fetcher) fits(size int64) error {
	if size > f.cfg.Max {
		return fmt.Errorf("the file has more than %d bytes", f.cfg.Max)
	}
	return nil
}

// plain returns an error without the address, because the query may contain a
// signature.
func plain(err error) error {
	var of *url.Error
	if errors.As(err, &of) {
		return of.Err
	}
	return err
}

// withoutQuery returns an address for messages without its query, which may contain a
// signature.
func withoutQuery(u *url.URL) string {
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()
}
