package host

import (
	"bytes"
	"encoding/hex"
	"io"
	"log/slog"
	"reflect"
	"runtime"

	"github.com/tetratelabs/wazero"
)

// Cache stores machine code of modules, which takes long to make. The host runs the content
// without further checks: a Cache must return only content that was stored. Its methods are
// called concurrently.
type Cache interface {
	// Get returns the content that was stored under the name; nil if there is none. The host owns it.
	Get(name string) []byte
	// Put stores content, if it can. The host does not change content later.
	Put(name string, content []byte)
}

// compilerVersion is the version of wazero in go.mod: code of other versions is not used.
const compilerVersion = "v1.12.0"

// files adapts a Cache to wazero's compiler.
type files struct{ cache Cache }

func (f files) name(key [32]byte) string {
	return "wazero " + compilerVersion + " " + runtime.GOOS + "/" + runtime.GOARCH + " " + hex.EncodeToString(key[:])
}

// Get implements wazero's filecache.Cache. The entry is in memory: the bytes that were verified are
// the bytes that run.
func (f files) Get(key [32]byte) (io.ReadCloser, bool, error) {
	content := f.cache.Get(f.name(key))
	return io.NopCloser(bytes.NewReader(content)), content != nil, nil
}

// Add implements wazero's filecache.Cache.
func (f files) Add(key [32]byte, content io.Reader) error {
	b, err := io.ReadAll(content)
	if err == nil {
		f.cache.Put(f.name(key), b)
	}
	return err
}

// Delete implements wazero's filecache.Cache. The next Add replaces the entry.
func (f files) Delete([32]byte) error { return nil }

// Compilations returns a cache for runtimes of wazero that keeps machine code in memory and in cache; nil: in memory
// alone. The caller closes it after the runtimes.
//
// wazero's own cache is a directory whose files it does not verify: a flipped bit changes machine code, and an empty
// file or a full disk is an error of the module. wazero has no public interface for another cache, so it is set in the
// unexported field. With a wazero without that field modules are compiled without a cache, and log has a warning.
func Compilations(cache Cache, log *slog.Logger) wazero.CompilationCache {
	c := wazero.NewCompilationCache()
	if cache == nil {
		return c
	}
	v := reflect.ValueOf(c)
	if v.Kind() == reflect.Pointer && v.Elem().Kind() == reflect.Struct {
		field := v.Elem().FieldByName("fileCache")
		if field.IsValid() && field.Kind() == reflect.Interface && reflect.TypeFor[files]().Implements(field.Type()) {
			reflect.NewAt(field.Type(), field.Addr().UnsafePointer()).Elem().Set(reflect.ValueOf(files{cache}))
			return c
		}
	}
	log.Warn("compiled modules are not cached: this version of wazero does not accept a cache")
	return c
}
