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

// KeySets are the key sets of a node, by where they are. They outlive a change of
// the configuration, so that a set that cannot be fetched at that moment is not
// lost.
type KeySets struct {
	transport http.RoundTripper // nil: one for each fetch
	log       *slog.Logger
	wanted    chan *KeySet
	ended     chan struct{}
	disk      files.Waiter

	mu       sync.Mutex
	sets     map[Source]*KeySet
	networks []netip.Prefix // internal ones that the operator permits
}

// Source is where a key set is.
type Source struct {
	Address string // a URL, or the path of a file
	Name    string // for messages; "": Address, without what might be a secret
	Within  string // the directory that a path does not lead out of; "": none

	// Restricted means that an included file names the key set: it is fetched only from
	// public addresses and permitted networks, and without a proxy.
	Restricted bool
}

// Permit says which internal networks the operator permits, from now on.
func (k *KeySets) Permit(networks []netip.Prefix) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.networks = networks
}

// client is for one fetch.
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
		t.DisableKeepAlives = true // it is minutes to the next time
		t.MaxResponseHeaderBytes = 64 << 10
		transport = t
	}
	return &http.Client{Transport: transport, CheckRedirect: checkRedirect}
}

// NewKeySets makes a node's key sets; Run serves them. transport is how https is
// spoken; nil: with the system's certificates, by the proxy that the environment
// names, to addresses that a dial.Guard allows. log may be nil: slog.Default().
func NewKeySets(transport http.RoundTripper, log *slog.Logger) *KeySets {
	if log == nil {
		log = slog.Default()
	}
	return &KeySets{
		transport: transport,
		log:       log, wanted: make(chan *KeySet), ended: make(chan struct{}), sets: map[Source]*KeySet{},
	}
}

// Run fetches sets, each beside the others, until ctx ends, and waits until none is
// being fetched. It returns nil. It is called once.
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

// At is the set of a source. Nothing is fetched yet.
func (k *KeySets) At(from Source) *KeySet {
	k.mu.Lock()
	defer k.mu.Unlock()
	s := k.sets[from]
	if s == nil {
		s = &KeySet{name: cmp.Or(from.Name, shown(from.Address)), log: k.log, sets: k}
		s.fetch = func(ctx context.Context) ([]byte, error) { return k.read(ctx, from) }
		if IsURL(from.Address) {
			s.fetch = func(ctx context.Context) ([]byte, error) { return k.get(ctx, from) }
		}
		k.sets[from] = s
	}
	return s
}

// Use says which sources are in use from now on. Their sets are fetched, unless
// they are there already, and others are forgotten.
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

// IsURL tells a URL from a path.
func IsURL(address string) bool { return strings.Contains(address, "://") }

// CheckFile says what is wrong with the key set in a file. It gives up when ctx ends.
func (k *KeySets) CheckFile(ctx context.Context, from Source) error {
	text, err := k.read(ctx, from)
	if err == nil {
		_, err = parseSet(text)
	}
	return err
}

// read reads a file.
func (k *KeySets) read(ctx context.Context, from Source) ([]byte, error) {
	if from.Within == "" {
		return k.disk.Read(ctx, from.Address, mostBytes)
	}
	name, err := filepath.Rel(from.Within, from.Address)
	if err != nil {
		return nil, err
	}
	return k.disk.ReadIn(ctx, from.Within, name, mostBytes)
}

// shown is an address without what might be a secret.
func shown(address string) string {
	if u, err := url.Parse(address); err == nil && IsURL(address) {
		u.User, u.RawQuery, u.Fragment = nil, "", ""
		return u.String()
	}
	return address
}

const mostRedirects = 3

func checkRedirect(to *http.Request, from []*http.Request) error {
	switch {
	case len(from) > mostRedirects:
		return fmt.Errorf("more than %d redirects", mostRedirects)
	case to.URL.Scheme != "https":
		return fmt.Errorf("redirected to %s, which is not https", to.URL.Scheme)
	}
	return nil
}

func (k *KeySets) get(ctx context.Context, from Source) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, from.Address, nil)
	if err != nil {
		return nil, errors.New("it is not a URL")
	}
	request.Header.Set("Accept", "application/jwk-set+json, application/json")
	response, err := k.client(from).Do(request)
	if err != nil {
		if wrapped, ok := errors.AsType[*url.Error](err); ok { // which has all of the address in its text
			err = wrapped.Err
		}
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("it answers %s", response.Status)
	}
	return bounded(response.Body)
}

func bounded(r io.Reader) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(r, mostBytes+1))
	if err == nil && len(text) > mostBytes {
		err = fmt.Errorf("it has more than %d KiB", mostBytes>>10)
	}
	return text, err
}
