package host

import (
	"hash/maphash"
	"unique"

	"github.com/mootchat/moot/engine"
	"github.com/mootchat/moot/host/abi"
)

// encoded is a connection's blob in one shape. joinedAt is 0 in it: the same
// connection is in many rooms.
type encoded struct {
	key  unique.Handle[string] // of the shape
	blob []byte
	hash uint64 // of blob
}

// derived is what the host keeps in a profile: its encodings, newest last. It is
// immutable.
type derived struct{ list []*encoded }

// maxDerived bounds how many shapes a profile is kept in: long-lived connections
// see many reloads.
const maxDerived = 8

// seed makes the hashes of all profiles comparable.
var seed = maphash.MakeSeed()

// encode is p in the shape s, made once for each profile and shape.
func encode(p *engine.Profile, s *shape) *encoded {
	old, _ := p.Derived.Load().(*derived)
	if old != nil {
		for _, e := range old.list {
			if e.key == s.key {
				return e
			}
		}
	}
	blob := appendConnection(nil, p, s)
	e := &encoded{s.key, blob, maphash.Bytes(seed, blob)}
	keep(p, old, e)
	return e
}

// keep adds e to what p has. If another goroutine changed that meanwhile, e is
// made anew next time.
func keep(p *engine.Profile, old *derived, e *encoded) {
	if old == nil {
		p.Derived.CompareAndSwap(nil, &derived{[]*encoded{e}})
		return
	}
	list := append(make([]*encoded, 0, len(old.list)+1), old.list...)
	if len(list) == maxDerived {
		list = list[1:]
	}
	p.Derived.CompareAndSwap(old, &derived{append(list, e)})
}

func appendConnection(dst []byte, p *engine.Profile, s *shape) []byte {
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

// appendProperties leaves out what does not fit into the bound of the contract.
func appendProperties(dst []byte, p *engine.Profile, s *shape) []byte {
	for _, name := range s.properties {
		value := p.Property(name)
		if value != nil && len(dst)+8+len(name)+len(value) <= abi.MaxProperties {
			dst = abi.AppendProperty(dst, name, string(value))
		}
	}
	return dst
}
