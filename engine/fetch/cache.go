package fetch

import "github.com/opencontainers/go-digest"

// Cache keeps files from load to load. Its methods are called concurrently.
type Cache interface {
	// Get gives what Put was given for the name, or nil.
	Get(name string) []byte
	// Put keeps content, if it can.
	Put(name string, content []byte)
}

// kept is the content with that digest, nil if it is not kept. d is valid.
func (f *Fetcher) kept(d digest.Digest) []byte {
	if f.cfg.Cache == nil {
		return nil
	}
	content := f.cfg.Cache.Get(name(d))
	if content == nil || d.Algorithm().FromBytes(content) != d {
		return nil
	}
	return content
}

// keep keeps content, whose digest is d.
func (f *Fetcher) keep(d digest.Digest, content []byte) {
	if f.cfg.Cache != nil {
		f.cfg.Cache.Put(name(d), content)
	}
}

func name(d digest.Digest) string { return "fetched " + d.String() }
