package config

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"reflect"
	"slices"
	"strings"
)

// sums sets the sums of all tenants that have none, and of all tenants if there are overrides.
func (c *Config) sums(overrides []string) {
	anew := slices.ContainsFunc(overrides, func(o string) bool { return strings.HasPrefix(o, "tenants") })
	for name, t := range c.Tenants {
		if t.Sum != ([32]byte{}) && !anew {
			continue
		}
		t.Sum, t.Digest = [32]byte{}, [32]byte{}
		v := reflect.ValueOf(t)
		sum, digest := digester{secrets: true}, digester{}
		sum.add(v)
		digest.add(v)
		t.Sum, t.Digest = sha256.Sum256(sum.text), sha256.Sum256(digest.text)
		c.Tenants[name] = t
	}
}

// digester encodes settings for a digest.
type digester struct {
	text    []byte
	secrets bool // with secrets and places; false: 16 bits of a digest of each secret
}

func (s *digester) add(v reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		s.fields(v)
	case reflect.Slice:
		if v.Type() == reflect.TypeFor[json.RawMessage]() {
			s.string(string(v.Bytes()))
			return
		}
		s.number(v.Len())
		for i := range v.Len() {
			s.add(v.Index(i))
		}
	case reflect.Map: // with keys that are texts
		s.number(v.Len())
		for _, key := range slices.SortedFunc(slices.Values(v.MapKeys()), func(a, b reflect.Value) int { return strings.Compare(a.String(), b.String()) }) {
			s.add(key)
			s.add(v.MapIndex(key))
		}
	case reflect.String:
		s.string(v.String())
	case reflect.Bool:
		n := 0
		if v.Bool() {
			n = 1
		}
		s.number(n)
	case reflect.Array, reflect.Pointer: // not settings
	default:
		s.number(int(v.Int()))
	}
}

func (s *digester) fields(v reflect.Value) {
	switch t := v.Type(); {
	case t == reflect.TypeFor[Secret]() && !s.secrets:
		s.secret(v.Field(0).String())
		return
	case t == reflect.TypeFor[Path]() && !s.secrets:
		s.string(v.Field(0).String())
		return
	case t == reflect.TypeFor[Pos]() && !s.secrets:
		return
	case t == reflect.TypeFor[Entry]() && !s.secrets && v.FieldByName("Shown").Len() > 0:
		e := v.Interface().(Entry)
		s.secret(string(e.Config))
		e.Config, e.Shown = e.Shown, nil
		v = reflect.ValueOf(e)
	}
	for i := range v.NumField() {
		if f := v.Type().Field(i); s.secrets || f.Tag.Get("yaml") != "-" || f.Name == "NoAsks" {
			s.add(v.Field(i))
		}
	}
}

func (s *digester) secret(text string) {
	sum := sha256.Sum256([]byte(text))
	s.text = append(s.text, sum[:2]...)
}

func (s *digester) number(n int) { s.text = binary.AppendVarint(s.text, int64(n)) }

func (s *digester) string(text string) {
	s.number(len(text))
	s.text = append(s.text, text...)
}
