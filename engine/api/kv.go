package api

import (
	"context"
	"net/http"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"

	"github.com/mootchat/moot/engine/millis"
	"github.com/mootchat/moot/host/report"
)

// Values are what modules keep, in a namespace for each tenant's module. Its
// methods may be called concurrently.
type Values interface {
	// Get gives the value of a key; nil: there is none.
	Get(ctx context.Context, tenant, module, key string) ([]byte, error)
	// Set sets the value, and removes the key if value is nil; a ttl of 0 is no end.
	// It reports whether the key was there. A refusal, such as of one key too many,
	// is an *engine.VerbError.
	Set(ctx context.Context, tenant, module, key string, value []byte, ttl time.Duration) (had bool, err error)
	// List gives at most limit keys, and the cursor of the next page, "" at the end.
	List(ctx context.Context, tenant, module, cursor string, limit int) (keys []string, next string, err error)
}

// InModule is what names a module of a tenant.
type InModule struct {
	InTenant
	Module string `path:"module" pattern:"^[a-z0-9-]{1,63}$" doc:"By name."`
}

// InKey is what names a value of a module.
type InKey struct {
	InModule
	Key string `path:"key" maxLength:"1024" doc:"Escaped."`
}

// Value is a value that a module keeps: Text, or Bytes where it is no text.
type Value struct {
	Text  *string `json:"text,omitempty" maxLength:"65536"`
	Bytes []byte  `json:"bytes,omitempty" doc:"Base64, of what is not UTF-8."`
}

type oneValue struct{ Body Value }

type keyList struct {
	Body struct {
		Keys   []string `json:"keys"`
		Cursor string   `json:"cursor,omitempty" doc:"Of the next page; missing at the end."`
	}
}

// Limits of a value and its key, in bytes, equal to those of modules.
const (
	maxValue = 64 << 10
	maxKey   = 256
)

func (s *Server) valueOperations() {
	if s.cfg.Values == nil {
		return
	}
	const all = tenantPath + "/modules/{module}/kv"
	huma.Register(s.api, s.list("listKeys", all, "The keys of what a module keeps"), s.listKeys)
	huma.Register(s.api, s.operation("getValue", http.MethodGet, all+"/{key}", 200, "A value that a module keeps"), s.getValue)
	huma.Register(s.api, s.operation("setValue", http.MethodPut, all+"/{key}", 204, "Set a value that a module keeps, such as an entry of a ban list"), s.setValue)
	huma.Register(s.api, s.operation("deleteValue", http.MethodDelete, all+"/{key}", 204, "Remove a value; what is not there is removed already"), s.deleteValue)
}

func (s *Server) listKeys(ctx context.Context, in *struct {
	InModule
	Cursor string `query:"cursor" maxLength:"2000" doc:"Of the page before; none: the first page."`
	Limit  int    `query:"limit" minimum:"1" maximum:"1000" default:"100"`
}) (*keyList, error) {
	if !utf8.ValidString(in.Cursor) {
		return nil, fault(http.StatusUnprocessableEntity, CodeInvalid, "query.cursor is not UTF-8: use that of the page before, escaped")
	}
	keys, next, err := s.cfg.Values.List(ctx, in.Tenant, in.Module, in.Cursor, in.Limit)
	if err != nil {
		return nil, s.faultOf(err)
	}
	out := &keyList{}
	out.Body.Keys, out.Body.Cursor = append([]string{}, keys...), next
	return out, nil
}

func (s *Server) getValue(ctx context.Context, in *InKey) (*oneValue, error) {
	value, err := s.cfg.Values.Get(ctx, in.Tenant, in.Module, in.Key)
	switch {
	case err != nil:
		return nil, s.faultOf(err)
	case value == nil:
		return nil, fault(http.StatusNotFound, CodeNotFound, "module %s keeps no such key", in.Module)
	case !utf8.Valid(value):
		return &oneValue{Value{Bytes: value}}, nil
	}
	text := string(value)
	return &oneValue{Value{Text: &text}}, nil
}

func (s *Server) setValue(ctx context.Context, in *struct {
	InKey
	Body struct {
		Value
		TTL millis.Duration `json:"ttl,omitempty" minimum:"0" maximum:"3153600000000" format:"duration-ms" doc:"The time until the value is removed; 0: it stays."`
	}
}) (*struct{}, error) {
	value := append([]byte{}, in.Body.Bytes...)
	if in.Body.Text != nil {
		value = []byte(*in.Body.Text)
	}
	switch {
	case (in.Body.Text == nil) == (in.Body.Bytes == nil):
		return nil, fault(http.StatusUnprocessableEntity, CodeInvalid, "body: want either text or bytes")
	case len(value) > maxValue:
		return nil, fault(http.StatusUnprocessableEntity, CodeInvalid, "body: the value has %d bytes, at most %d are kept", len(value), maxValue)
	case len(in.Key) > maxKey || !utf8.ValidString(in.Key): // modules could not name it, nor JSON a listing's cursor
		return nil, fault(http.StatusUnprocessableEntity, CodeInvalid, "path.key: a key is at most %d bytes of UTF-8", maxKey)
	case !s.chained(in.Tenant, in.Module):
		return nil, fault(http.StatusNotFound, CodeNotFound, "no chain of tenant %s has a module %s: nobody would read it", in.Tenant, in.Module)
	}
	_, err := s.cfg.Values.Set(ctx, in.Tenant, in.Module, in.Key, value, in.Body.TTL.Std())
	return nil, s.faultOf(err)
}

// chained says whether the tenant's chain has the module, on this node.
func (s *Server) chained(tenant, module string) bool {
	return slices.ContainsFunc(s.here(tenant), func(m report.Module) bool { return m.Tenant == tenant && m.Name == module })
}

func (s *Server) deleteValue(ctx context.Context, in *InKey) (*struct{}, error) {
	_, err := s.cfg.Values.Set(ctx, in.Tenant, in.Module, in.Key, nil, 0)
	return nil, s.faultOf(err)
}
