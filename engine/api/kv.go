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

// Values stores the values of modules. Each module of a tenant has its own namespace. The methods of Values may be called
// concurrently.
type Values interface {
	// Get returns the value of a key; nil: the key does not exist.
	Get(ctx context.Context, tenant, module, key string) ([]byte, error)
	// Set sets the value, or removes the key if value is nil; with ttl 0 the value does not expire. It reports whether
	// the key existed. If it refuses the value, for example because there are too many keys, the error is an *engine.VerbError.
	Set(ctx context.Context, tenant, module, key string, value []byte, ttl time.Duration) (had bool, err error)
	// List returns at most limit keys, and the cursor of the next page, "" on the last one.
	List(ctx context.Context, tenant, module, cursor string, limit int) (keys []string, next string, err error)
}

// InModule is a module of a tenant in the path of a request.
type InModule struct {
	InTenant
	Module string `path:"module" pattern:"^[a-z0-9-]{1,63}$" doc:"The name of the module."`
}

// InKey is a key of a module in the path of a request.
type InKey struct {
	InModule
	Key string `path:"key" maxLength:"1024" doc:"Percent-encoded."`
}

// Value is a stored value of a module. Text is set if the value is valid UTF-8, else Bytes.
type Value struct {
	Text  *string `json:"text,omitempty" maxLength:"65536"`
	Bytes []byte  `json:"bytes,omitempty" doc:"Base64; for values that are not UTF-8."`
}

type oneValue struct{ Body Value }

type keyList struct {
	Body struct {
		Keys   []string `json:"keys"`
		Cursor string   `json:"cursor,omitempty" doc:"The cursor of the next page; missing on the last one."`
	}
}

// Limits of a value and its key, in bytes. Modules have the same limits.
const (
	maxValue = 64 << 10
	maxKey   = 256
)

func (s *Server) valueOperations() {
	if s.cfg.Values == nil {
		return
	}
	const all = tenantPath + "/modules/{module}/kv"
	huma.Register(s.api, s.list("listKeys", all, "List the keys that a module stores"), s.listKeys)
	huma.Register(s.api, s.operation("getValue", http.MethodGet, all+"/{key}", 200, "Get a stored value of a module"), s.getValue)
	huma.Register(s.api, s.operation("setValue", http.MethodPut, all+"/{key}", 204, "Set a stored value of a module, such as an entry of a ban list"), s.setValue)
	huma.Register(s.api, s.operation("deleteValue", http.MethodDelete, all+"/{key}", 204, "Remove a stored value; it need not exist"), s.deleteValue)
}

func (s *Server) listKeys(ctx context.Context, in *struct {
	InModule
	Cursor string `query:"cursor" maxLength:"2000" doc:"The cursor of the page before; none: the first page."`
	Limit  int    `query:"limit" minimum:"1" maximum:"1000" default:"100"`
}) (*keyList, error) {
	if !utf8.ValidString(in.Cursor) {
		return nil, fault(http.StatusUnprocessableEntity, CodeInvalid, "query.cursor is not UTF-8: use the cursor of the page before, percent-encoded")
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
		return nil, fault(http.StatusNotFound, CodeNotFound, "module %s has no such key", in.Module)
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
		return nil, fault(http.StatusUnprocessableEntity, CodeInvalid, "body: give either text or bytes")
	case len(value) > maxValue:
		return nil, fault(http.StatusUnprocessableEntity, CodeInvalid, "body: the value has %d bytes, the limit is %d", len(value), maxValue)
	case len(in.Key) > maxKey || !utf8.ValidString(in.Key): // modules cannot use such a key, and a cursor cannot contain it
		return nil, fault(http.StatusUnprocessableEntity, CodeInvalid, "path.key: a key is at most %d bytes of UTF-8", maxKey)
	case !s.chained(in.Tenant, in.Module):
		return nil, fault(http.StatusNotFound, CodeNotFound, "no chain of tenant %s has a module %s, so nothing would read the value", in.Tenant, in.Module)
	}
	_, err := s.cfg.Values.Set(ctx, in.Tenant, in.Module, in.Key, value, in.Body.TTL.Std())
	return nil, s.faultOf(err)
}

// chained reports whether the chain of the tenant has the module, on this node.
func (s *Server) chained(tenant, module string) bool {
	return slices.ContainsFunc(s.here(tenant), func(m report.Module) bool { return m.Tenant == tenant && m.Name == module })
}

func (s *Server) deleteValue(ctx context.Context, in *InKey) (*struct{}, error) {
	_, err := s.cfg.Values.Set(ctx, in.Tenant, in.Module, in.Key, nil, 0)
	return nil, s.faultOf(err)
}
