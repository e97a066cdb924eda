package host

import (
	"hash/maphash"
	"unique"

	"github.com/mootchat/moot/engine/hook"
	"github.com/mootchat/moot/host/abi"
)

// encoded is a connection's blob in one shape, kept in the profile: the newest one, which links to the others. joinedAt is 0 in
// it, because a connection may be in many rooms. It is immutable.
type encoded struct {
	key     unique.Handle[string] // of the shape
	hash    uint64                // of blob
	blob    []byte
	profile *hook.Profile
	next    *encoded
	more    int // number of encodings that follow
}

// maxEncoded limits the shapes that are kept in a profile: long-lived connections see many reloads.
const maxEncoded = 8

// seed is the seed of the hashes of all profiles.
var seed = maphash.MakeSeed()

// encode returns p in the shape s. It is made once for each profile and shape.
func encode(p *hook.Profile, s *shape) *encoded {
	newest, _ := p.Derived.Load().(*encoded)
	for e := newest; e != nil; e = e.next {
		if e.key == s.key {
			return e
		}
	}
	e := &encoded{key: s.key, blob: appendConnection(nil, p, s), profile: p}
	e.hash = maphash.Bytes(seed, e.blob)
	if omits(p, s) { // property_get returns omitted properties: never equal to another profile
		e.hash = maphash.Comparable(seed, p)
	}
	// If another goroutine has changed p.Derived, e is not kept, and is made again by the next call.
	switch {
	case newest == nil:
		p.Derived.CompareAndSwap(nil, e)
	case newest.more+1 < maxEncoded:
		e.next, e.more = newest, newest.more+1
		p.Derived.CompareAndSwap(newest, e)
	default: // all but e are dropped, and made again when used
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

// omits reports whether appendProperties leaves out properties.
func omits(p *hook.Profile, s *shape) bool {
	size := 0
	for _, name := range s.properties {
		if value := p.Property(name); value != nil {
			size += 8 + len(name) + len(value)
		}
	}
	return size > abi.MaxProperties
}

// appendProperties appends the properties that fit into the contract's limit.
func appendProperties(dst []byte, p *hook.Profile, s *shape) []byte {
	for _, name := range s.properties {
		value := p.Property(name)
		if value != nil && len(dst)+8+len(name)+len(value) <= abi.MaxProperties {
			dst = abi.AppendProperty(dst, name, string(value))
		}
	}
	return dst
}
