package fetch

import "github.com/opencontainers/go-digest"

// Cache stores files by name. Its methods are called concurrently.
type Cache interface {
	// Get returns the content that was stored under the name; nil if there is none. The
	// caller owns it.
	Get(name string) []byte
	// Put stores content, if it can. It does not keep the slice.
	Put(name string, content []byte)
}

// cached returns the content with a valid digest; nil if the cache does not have it.
func (f *Fetcher) cached(d digest.Digest) []byte {
	if f.cfg.Cache == nil {
		return nil
	}
	content := f.cfg.Cache.Get(name(d))
	if content == nil || d.Algorithm().FromBytes(content) != d {
		return nil
	}
	return content
}

// store stores content, whose digest is d, in the cache.
func (f *Fetcher) store(d digest.Digest, content []byte) {
	if f.cfg.Cache != nil {
		f.cfg.Cache.Put(name(d), content)
	}
}

func name(d digest.Digest) string { return "fetched " + d.String() }
