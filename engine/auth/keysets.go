package auth

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/mootchat/moot/engine/dial"
	"github.com/mootchat/moot/engine/files"
)

// KeySets holds the key sets of a node by their source. It outlives reloads, so that a
// key set stays available if it cannot be fetched during a reload. It is safe for
// concurrent use.
type KeySets struct {
	transport http.RoundTripper // nil: a new one for each fetch
	log       *slog.Logger
	wanted    chan *KeySet
	ended     chan struct{}
	disk      files.Waiter

	mu       sync.Mutex
	sets     map[Source]*KeySet
	networks []netip.Prefix // internal networks that the operator permits
}

// Source identifies a key set.
type Source struct {
	Address string // a URL, or the path of a file
	Name    string // for messages; "": Address without parts that may be secret
	Within  string // a directory that the path and links on it must not leave; "": any

	// Restricted marks the key set of an included file. It is fetched only from public
	// addresses and permitted networks, and without a proxy.
	Restricted bool
}

// Permit sets the internal networks that restricted sources and redirects may reach.
func (k *KeySets) Permit(networks []netip.Prefix) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.networks = networks
}

// client returns a client for one fetch.
func (k *KeySets) client(from Source) *http.Client {
	transport := k.transport
	if transport == nil {
		k.mu.Lock()
		guard := &dial.Guard{Networks: k.networks}
		k.mu.Unlock()
		if u, err := url.Parse(from.Address); err == nil && !from.Restricted {
			guard.Host = u.Hostname()
		}
		t := guard.Transport()
		t.DisableKeepAlives = true // the next fetch is minutes later
		t.MaxResponseHeaderBytes = 64 << 10
		transport = t
	}
	return &http.Client{Transport: transport, CheckRedirect: checkRedirect}
}

// NewKeySets returns the key sets of a node; Run fetches them. transport is for tests.
// A nil transport uses the system's certificates, the environment's proxy, and
// addresses that a dial.Guard allows. A nil log is slog.Default().
func NewKeySets(transport http.RoundTripper, log *slog.Logger) *KeySets {
	if log == nil {
		log = slog.Default()
	}
	return &KeySets{
		transport: transport,
		log:       log, wanted: make(chan *KeySet), ended: make(chan struct{}), sets: map[Source]*KeySet{},
	}
}

// Run fetches sets concurrently until ctx ends, and then waits for the fetches in
// progress. It returns nil. Call it once.
func (k *KeySets) Run(ctx context.Context) error {
	var fetches sync.WaitGroup
	defer fetches.Wait()
	defer close(k.ended)
	for {
		select {
		case s := <-k.wanted:
			fetches.Go(func() { s.load(ctx) })
		case <-ctx.Done():
			return nil
		}
	}
}

// At returns the set of a source. It fetches nothing.
func (k *KeySets) At(from Source) *KeySet {
	k.mu.Lock()
	defer k.mu.Unlock()
	s := k.sets[from]
	if s == nil {
		s = &KeySet{name: cmp.Or(from.Name, withoutSecrets(from.Address)), log: k.log, sets: k}
		s.fetch = func(ctx context.Context) ([]byte, error) { return k.read(ctx, from) }
		if IsURL(from.Address) {
			s.fetch = func(ctx context.Context) ([]byte, error) { return k.get(ctx, from) }
		}
		k.sets[from] = s
	}
	return s
}

// Use sets the sources in use. It starts a fetch of each set that was never fetched,
// and drops the sets of other sources.
func (k *KeySets) Use(ctx context.Context, sources []Source) {
	k.mu.Lock()
	for from := range k.sets {
		if !slices.Contains(sources, from) {
			delete(k.sets, from)
		}
	}
	k.mu.Unlock()
	for _, from := range sources {
		if s := k.At(from); !s.had() {
			s.refresh(ctx)
		}
	}
}

func (s *KeySet) had() bool {
	keys, _ := s.now()
	return keys != nil
}

// IsURL reports whether an address is a URL, as opposed to the path of a file.
func IsURL(address string) bool { return strings.Contains(address, "://") }

// CheckFile returns an error if a file does not contain a valid key set, or cannot be read
// before ctx ends.
func (k *KeySets) CheckFile(ctx context.Context, from Source) error {
	text, err := k.read(ctx, from)
	if err == nil {
		_, err = parseSet(text)
	}
	return err
}

// read returns the content of a file.
func (k *KeySets) read(ctx context.Context, from Source) ([]byte, error) {
	if from.Within == "" {
		return k.disk.Read(ctx, from.Address, maxBytes)
	}
	name, err := filepath.Rel(from.Within, from.Address)
	if err != nil {
		return nil, err
	}
	return k.disk.ReadIn(ctx, from.Within, name, maxBytes)
}

// withoutSecrets returns an address for messages: without user, query and fragment.
func withoutSecrets(address string) string {
	if u, err := url.Parse(address); err == nil && IsURL(address) {
		u.User, u.RawQuery, u.Fragment = nil, "", ""
		return u.String()
	}
	return address
}

const maxRedirects = 3

func checkRedirect(to *http.Request, from []*http.Request) error {
	switch {
	case len(from) > maxRedirects:
		return fmt.Errorf("more than %d redirects", maxRedirects)
	case to.URL.Scheme != "https":
		return fmt.Errorf("redirected to %s, which is not https", to.URL.Scheme)
	}
	return nil
}

// get fetches a URL.
func (k *KeySets) get(ctx context.Context, from Source) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, from.Address, nil)
	if err != nil {
		return nil, errors.New("the address is not a valid URL")
	}
	request.Header.Set("Accept", "application/jwk-set+json, application/json")
	response, err := k.client(from).Do(request)
	if err != nil {
		if wrapped, ok := errors.AsType[*url.Error](err); ok { // its text contains the whole address
			err = wrapped.Err
		}
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the server answered %s", response.Status)
	}
	return bounded(response.Body)
}

// bounded reads at most maxBytes.
func bounded(r io.Reader) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxBytes+1))
	if err == nil && len(text) > maxBytes {
		err = fmt.Errorf("the set has more than %d KiB", maxBytes>>10)
	}
	return text, err
}
