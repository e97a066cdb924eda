//go:build !wasm

package moottest

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"strings"
)

var hooks = [...]string{"", "connect", "join", "onSayReceive", "say", "leave", "disconnect", "action"}

var le = binary.LittleEndian

const (
	headerSize = 144
	minor      = 1
	tableStart = 24

	frameAnswer = 136

	fieldProperties = 7
)

var (
	eventFields = []string{"room", "tenant", "from", "message", "context", "cause", "action", "params", "messageId", "edits"}
	connFields  = []string{"id", "fingerprint", "user", "transport", "remoteIP", "tenant", "locale"}
	times       = []string{"connectedAt", "joinedAt"}
)

// view names the fields that a module may see; nil is all but properties.
type view map[string]bool

func viewOf(reads []string) (view, error) {
	if reads == nil {
		return nil, nil
	}
	v := view{}
	for _, name := range reads {
		property := strings.HasPrefix(name, "properties.") && name != "properties."
		if !property && !slices.Contains(slices.Concat(eventFields, connFields, times), name) {
			return nil, fmt.Errorf("reads: unknown field %q", name)
		}
		v[name] = true
	}
	return v, nil
}

func (v view) shows(name string) bool { return v == nil || v[name] }

// fields returns the visible values, in the order of a blob.
func (v view) fields(names []string, values ...string) [][]byte {
	list := make([][]byte, len(values))
	for i, value := range values {
		if v.shows(names[i]) && value != "" {
			list[i] = []byte(value)
		}
	}
	return list
}

// frame encodes e in the layout of the host.
func (v view) frame(hook int, e *Event) []byte {
	fields := v.fields(eventFields, e.Room, e.Tenant, e.From, e.Message, e.Context, e.Cause, e.Action, e.Params, e.MessageID, e.Edits)
	if (hook == 3 || hook == 4) && e.Message == "" && v.shows("message") {
		fields[3] = []byte{} // an empty message is present
	}
	var conn []byte
	if e.Connection != nil {
		conn = v.blob(e.Connection)
	}
	var receivers [][]byte
	for i := range e.Receivers {
		receivers = append(receivers, v.blob(&e.Receivers[i]))
	}
	return appendFrame(hook, e.JSON, appendBlob(nil, 1, uint64(e.SentAt), e.Sequence, fields), conn, receivers)
}

// blob encodes the connection; hidden times are 0.
func (v view) blob(c *Connection) []byte {
	fields := append(v.fields(connFields, c.ID, c.Fingerprint, c.User, c.Transport, c.RemoteIP, c.Tenant, c.Locale), nil)
	for _, name := range slices.Sorted(maps.Keys(c.Properties)) {
		if v["properties."+name] {
			fields[fieldProperties] = appendProperty(fields[fieldProperties], name, c.Properties[name])
		}
	}
	var at [2]uint64
	for i, t := range [2]int64{c.ConnectedAt, c.JoinedAt} {
		if v.shows(times[i]) {
			at[i] = uint64(t)
		}
	}
	return appendBlob(nil, 2, at[0], at[1], fields)
}

// appendFrame assembles a frame: header, table of receivers, verdict bytes,
// receivers, event, connection (nil for none).
func appendFrame(hook int, json bool, event, conn []byte, receivers [][]byte) []byte {
	b := make([]byte, headerSize)
	le.PutUint16(b[4:], minor)
	le.PutUint16(b[6:], uint16(hook))
	if json {
		le.PutUint32(b[8:], 1)
	}
	if n := len(receivers); n > 0 {
		le.PutUint32(b[12:], uint32(n))
		le.PutUint32(b[24:], uint32(len(b)))
		table := len(b)
		b = pad(append(b, make([]byte, 4*n)...))
		le.PutUint32(b[28:], uint32(len(b)))
		b = pad(append(b, make([]byte, n)...))
		for i, r := range receivers {
			le.PutUint32(b[table+4*i:], uint32(len(b)))
			b = append(b, r...)
		}
	}
	le.PutUint32(b[16:], uint32(len(b)))
	b = append(b, event...)
	if conn != nil {
		le.PutUint32(b[20:], uint32(len(b)))
		b = append(b, conn...)
	}
	le.PutUint32(b, uint32(len(b)))
	return b
}

// appendAnswer appends the blob of an answer to a frame.
func appendAnswer(frame []byte, r *Reply) []byte {
	text := func(s string) []byte {
		if s == "" {
			return nil
		}
		return []byte(s)
	}
	le.PutUint32(frame[frameAnswer:], uint32(len(frame)))
	frame = appendBlob(frame, 3, uint64(cmp.Or(r.Status, 200)), uint64(cmp.Or(r.Number, 1)), [][]byte{text(r.Name), text(r.JSON), text(r.State)})
	le.PutUint32(frame, uint32(len(frame)))
	return frame
}

func appendBlob(b []byte, kind uint16, first, second uint64, fields [][]byte) []byte {
	start, at := len(b), tableStart+8*len(fields)
	b = le.AppendUint32(b, 0)
	b = le.AppendUint16(b, kind)
	b = le.AppendUint16(b, uint16(len(fields)))
	b = le.AppendUint64(b, first)
	b = le.AppendUint64(b, second)
	for _, f := range fields {
		if f == nil {
			b = le.AppendUint64(b, 0)
			continue
		}
		b = le.AppendUint32(b, uint32(at))
		b = le.AppendUint32(b, uint32(len(f)))
		at += len(f)
	}
	b = pad(append(b, slices.Concat(fields...)...))
	le.PutUint32(b[start:], uint32(len(b)-start))
	return b
}

func appendProperty(b []byte, name, value string) []byte {
	b = le.AppendUint32(b, uint32(len(name)))
	b = le.AppendUint32(b, uint32(len(value)))
	return append(append(b, name...), value...)
}

func pad(b []byte) []byte {
	for len(b)%8 != 0 {
		b = append(b, 0)
	}
	return b
}
