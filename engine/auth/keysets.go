package auth

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"

	"github.com/mootchat/moot/engine/files"
)

// KeySets are the key sets of a node, by where they are. They outlive a change of
// the configuration, so that a set that cannot be fetched at that moment is not
// lost.
type KeySets struct {
	client *http.Client
	log    *slog.Logger
	wanted chan *KeySet
	ended  chan struct{}
	disk   files.Waiter

	mu   sync.Mutex
	sets map[string]*KeySet
}

// NewKeySets makes a node's key sets; Run serves them. transport is how https is
// spoken; nil: with the system's certificates, by the proxy that the environment
// names. log may be nil: slog.Default().
func NewKeySets(transport http.RoundTripper, log *slog.Logger) *KeySets {
	if transport == nil {
		t := http.DefaultTransport.(*http.Transport).Clone()
		t.DisableKeepAlives = true // it is minutes to the next time
		t.MaxResponseHeaderBytes = 64 << 10
		transport = t
	}
	if log == nil {
		log = slog.Default()
	}
	return &KeySets{
		client: &http.Client{Transport: transport, CheckRedirect: checkRedirect},
		log:    log, wanted: make(chan *KeySet), ended: make(chan struct{}), sets: map[string]*KeySet{},
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

// At is the set of an address: a URL, or the path of a file. Nothing is fetched
// yet.
func (k *KeySets) At(address string) *KeySet {
	k.mu.Lock()
	defer k.mu.Unlock()
	s := k.sets[address]
	if s == nil {
		s = &KeySet{name: shown(address), log: k.log, sets: k}
		s.fetch = func(ctx context.Context) ([]byte, error) { return k.disk.Read(ctx, address, mostBytes) }
		if IsURL(address) {
			s.fetch = func(ctx context.Context) ([]byte, error) { return k.get(ctx, address) }
		}
		k.sets[address] = s
	}
	return s
}

// Use says which addresses are in use from now on. Their sets are fetched, unless
// they are there already, and others are forgotten.
func (k *KeySets) Use(ctx context.Context, addresses []string) {
	k.mu.Lock()
	for address := range k.sets {
		if !slices.Contains(addresses, address) {
			delete(k.sets, address)
		}
	}
	k.mu.Unlock()
	for _, address := range addresses {
		if s := k.At(address); !s.had() {
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
func (k *KeySets) CheckFile(ctx context.Context, path string) error {
	text, err := k.disk.Read(ctx, path, mostBytes)
	if err == nil {
		_, err = parseSet(text)
	}
	return err
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

func (k *KeySets) get(ctx context.Context, address string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, errors.New("it is not a URL")
	}
	request.Header.Set("Accept", "application/jwk-set+json, application/json")
	response, err := k.client.Do(request)
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
