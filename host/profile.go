package host

import (
	"hash/maphash"
	"unique"

	"github.com/mootchat/moot/engine/hook"
	"github.com/mootchat/moot/host/abi"
)

// encoded is a connection's blob in one shape. joinedAt is 0 in it: the same
// connection is in many rooms. It is immutable, and what the host keeps in a profile:
// the newest, which leads to the others.
type encoded struct {
	key     unique.Handle[string] // of the shape
	hash    uint64                // of blob
	blob    []byte
	profile *hook.Profile
	next    *encoded
	more    int // how many follow
}

// maxEncoded bounds how many shapes a profile is kept in: long-lived connections see
// many reloads.
const maxEncoded = 8

// seed makes the hashes of all profiles comparable.
var seed = maphash.MakeSeed()

// encode is p in the shape s, made once for each profile and shape.
func encode(p *hook.Profile, s *shape) *encoded {
	newest, _ := p.Derived.Load().(*encoded)
	for e := newest; e != nil; e = e.next {
		if e.key == s.key {
			return e
		}
	}
	e := &encoded{key: s.key, blob: appendConnection(nil, p, s), profile: p}
	e.hash = maphash.Bytes(seed, e.blob)
	if omits(p, s) { // property_get tells of what is left out: it looks like no other
		e.hash = maphash.Comparable(seed, p)
	}
	// If another goroutine was quicker, e is made anew next time.
	switch {
	case newest == nil:
		p.Derived.CompareAndSwap(nil, e)
	case newest.more+1 < maxEncoded:
		e.next, e.more = newest, newest.more+1
		p.Derived.CompareAndSwap(newest, e)
	default: // all but e are forgotten, and those in use made again
		p.Derived.CompareAndSwap(newest, e)
	}
	return e
}

func appendConnection(dst []byte, p *hook.Profile, s *shape) []byte {
	values := [abi.ConnFieldCount]string{
		abi.ConnID:          p.ID,
		abi.ConnFingerprint: p.Fingerprint,
		abi.ConnUser:        p.User,
		abi.ConnTransport:   p.Transport,
		abi.ConnRemoteIP:    p.RemoteIP,
		abi.ConnTenant:      p.Tenant,
		abi.ConnLocale:      p.Locale,
	}
	var fields [abi.ConnFieldCount][]byte
	for i, shown := range s.fields {
		if shown {
			fields[i] = bytesOf(values[i])
		}
	}
	if s.fields[abi.ConnProperties] {
		fields[abi.ConnProperties] = appendProperties([]byte{}, p, s)
	}
	var connectedAt uint64
	if s.connected {
		connectedAt = uint64(p.ConnectedAt)
	}
	return abi.AppendBlob(dst, abi.BlobConnection, connectedAt, 0, fields[:])
}

// omits reports whether appendProperties leaves something out.
func omits(p *hook.Profile, s *shape) bool {
	size := 0
	for _, name := range s.properties {
		if value := p.Property(name); value != nil {
			size += 8 + len(name) + len(value)
		}
	}
	return size > abi.MaxProperties
}

// appendProperties leaves out what does not fit into the bound of the contract.
func appendProperties(dst []byte, p *hook.Profile, s *shape) []byte {
	for _, name := range s.properties {
		value := p.Property(name)
		if value != nil && len(dst)+8+len(name)+len(value) <= abi.MaxProperties {
			dst = abi.AppendProperty(dst, name, string(value))
		}
	}
	return dst
}
