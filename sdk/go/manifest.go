package moot

import "strings"

// manifest returns the manifest as JSON. It is written without encoding/json, so that
// a module without config links no reflection.
func (m *Module) manifest() string {
	b := append([]byte(`{"name":`), Quote(m.Name)...)
	b = append(append(b, `,"version":`...), Quote(m.Version)...)
	b = appendList(append(b, `,"hooks":`...), m.hooks())
	b = appendList(append(b, `,"reads":`...), m.reads())
	vary := m.Vary
	if m.OnSayAll != nil {
		vary = []string{}
	}
	b = appendList(append(b, `,"vary":`...), vary)
	if m.Pure {
		b = append(b, `,"pure":true`...)
	}
	if m.Capabilities != nil {
		b = appendList(append(b, `,"capabilities":`...), m.Capabilities)
	}
	if m.Denials {
		b = append(b, `,"denials":true`...)
	}
	if len(m.Asks) > 0 {
		b = appendList(append(b, `,"asks":`...), m.Asks)
	}
	if len(m.Actions) > 0 {
		b = appendActions(append(b, `,"actions":`...), m.Actions)
	}
	if m.ConfigSchema != "" {
		b = append(append(b, `,"config":`...), m.ConfigSchema...)
	}
	return string(append(b, '}'))
}

// reads returns Reads and the fields that dispatch actions.
func (m *Module) reads() []string {
	if m.Reads == nil || len(m.Actions) == 0 {
		return m.Reads
	}
	return append(m.Reads[:len(m.Reads):len(m.Reads)], "action")
}

func (m *Module) hooks() []string {
	list := []string{}
	for _, h := range [...]struct {
		name string
		has  bool
	}{
		{"connect", m.OnConnect != nil},
		{"join", m.OnJoin != nil},
		{"onSayReceive", m.OnSayReceive != nil},
		{"say", m.OnSay != nil || m.OnSayAll != nil},
		{"leave", m.OnLeave != nil},
		{"disconnect", m.OnDisconnect != nil},
		{"action", len(m.Actions) > 0},
	} {
		if h.has {
			list = append(list, h.name)
		}
	}
	return list
}

// appendList appends list as JSON; a nil list is null.
func appendList(b []byte, list []string) []byte {
	if list == nil {
		return append(b, "null"...)
	}
	b = append(b, '[')
	for i, s := range list {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, Quote(s)...)
	}
	return append(b, ']')
}

func appendActions(b []byte, actions []Action) []byte {
	b = append(b, '[')
	for i, a := range actions {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(append(b, `{"name":`...), Quote(a.Name)...)
		b = append(append(b, `,"description":`...), Quote(a.Description)...)
		b = append(b, `,"inputs":{`...)
		for k, in := range a.Inputs {
			if k > 0 {
				b = append(b, ',')
			}
			b = append(append(b, Quote(in.Name)...), `:{"description":`...)
			b = append(b, Quote(in.Description)...)
			if in.Required {
				b = append(b, `,"required":true`...)
			}
			b = append(b, '}')
		}
		b = append(b, '}')
		if a.Speech {
			b = append(b, `,"speech":true`...)
		}
		b = append(b, '}')
	}
	return append(b, ']')
}

// Quote returns s as a JSON string: Quote("member") is `"member"`. Bytes that are not UTF-8
// become U+FFFD.
func Quote(s string) string {
	const hex = "0123456789abcdef"
	s = strings.ToValidUTF8(s, "\uFFFD")
	b := append(make([]byte, 0, len(s)+2), '"')
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c < ' ':
			b = append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		default:
			b = append(b, c)
		}
	}
	return string(append(b, '"'))
}
