// Package fetch gets files from elsewhere, over HTTPS and from OCI registries, and keeps
// them on disk by their digests. What it gives is what its digest says, whoever sent it.
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

// Config says how files are fetched. The zero Config is one in good order that keeps
// nothing.
type Config struct {
	Cache Cache          // of what was fetched; nil: every load fetches it
	Max   int64          // bytes of one file; 0: 16 MiB
	Time  time.Duration  // for one file; 0: 30 s
	Roots *x509.CertPool // who signs certificates of servers; nil: whom the system trusts
}

// Fetcher fetches files. Its methods may be called concurrently.
type Fetcher struct {
	cfg Config
	who Policy
}

// Policy is the author of an address. The zero Policy is the operator.
type Policy struct {
	// Restricted means an author that the operator does not trust, such as that of an included
	// file. Fetches for a guest reach public addresses and Networks only, without the
	// passwords of `docker login` and without a proxy. Fetches for the operator reach any
	// address; their redirects lead to no network that is nearer than that address.
	Restricted bool

	Networks []netip.Prefix // internal ones that the operator permits
}

// WithPolicy fetches for somebody, into the same cache.
func (f *Fetcher) WithPolicy(who Policy) *Fetcher { return &Fetcher{f.cfg, who} }

// New makes a Fetcher.
func New(cfg Config) *Fetcher {
	cfg.Max = cmp.Or(cfg.Max, 16<<20)
	cfg.Time = cmp.Or(cfg.Time, 30*time.Second)
	return &Fetcher{cfg, Policy{}}
}

// URL is the file at an https address whose sha256, 64 hex digits in lower case, is sum.
func (f *Fetcher) URL(ctx context.Context, address, sum string) ([]byte, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, fmt.Errorf("%q is no address", address)
	}
	if u.Scheme != "https" {
		return nil, fmt.Errorf("%s is not https", shown(u))
	}
	want := digest.NewDigestFromEncoded(digest.SHA256, sum)
	if err := want.Validate(); err != nil {
		return nil, fmt.Errorf("%s: its sha256 must be given: 64 hex digits in lower case", shown(u))
	}
	if content := f.kept(want); content != nil {
		return content, nil
	}
	content, err := f.within(ctx, u.Hostname(), func(ctx context.Context, client *http.Client) ([]byte, error) { return f.download(ctx, client, u) })
	if err != nil {
		return nil, fmt.Errorf("%s: %w", shown(u), err)
	}
	if have := digest.FromBytes(content); have != want {
		return nil, wrongSum(shown(u), have, want)
	}
	f.keep(want, content)
	return content, nil
}

func wrongSum(what string, have, want digest.Digest) error {
	return fmt.Errorf("%s has the sha256 %s, not %s: if the change is meant, put the new one here", what, have.Encoded(), want.Encoded())
}

// within bounds the time of do, which gets a client for a host, and leaves no connection behind.
func (f *Fetcher) within(ctx context.Context, host string, do func(context.Context, *http.Client) ([]byte, error)) ([]byte, error) {
	client := f.client(host)
	defer client.CloseIdleConnections()
	ctx, cancel := context.WithTimeoutCause(ctx, f.cfg.Time, fmt.Errorf("it did not come within %v", f.cfg.Time))
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
		return nil, fmt.Errorf("the server answers %s", response.Status)
	}
	content, err := io.ReadAll(io.LimitReader(response.Body, f.cfg.Max+1))
	if err != nil {
		return nil, fmt.Errorf("it did not come whole: %w", err)
	}
	return content, f.fits(int64(len(content)))
}

func (f *Fetcher) fits(size int64) error {
	if size > f.cfg.Max {
		return fmt.Errorf("it has more than %d bytes", f.cfg.Max)
	}
	return nil
}

// plain is the error without the address, which may have a signature in its query.
func plain(err error) error {
	var of *url.Error
	if errors.As(err, &of) {
		return of.Err
	}
	return err
}

// shown is an address without its query.
func shown(u *url.URL) string {
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()
}
