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

// Cache keeps what takes long to make: the machine code of modules. What it gives runs as it
// is: it must give nothing but what it was given. Its methods are called concurrently.
type Cache interface {
	// Get gives what Put was given for the name, or nil. The host owns it.
	Get(name string) []byte
	// Put keeps content, if it can. The host does not change it later.
	Put(name string, content []byte)
}

// compilerVersion is that of wazero in go.mod: what another one compiled is not used.
const compilerVersion = "v1.12.0"

// files is a Cache as wazero's compiler asks for it.
type files struct{ cache Cache }

func (f files) name(key [32]byte) string {
	return "wazero " + compilerVersion + " " + runtime.GOOS + "/" + runtime.GOARCH + " " + hex.EncodeToString(key[:])
}

// Get implements wazero's filecache.Cache. It has the whole entry, checked, in memory: the
// bytes that were checked are those that run.
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

// compilations gives wazero a cache. wazero itself takes only a directory, whose files it
// believes: one flipped bit enters machine code at the wrong place, and an empty file or a
// full disk is an error of the module. A cache of another kind has no public place, so it is
// set where wazero keeps its own; a wazero that has no such field compiles without a cache.
func compilations(cache Cache, log *slog.Logger) wazero.CompilationCache {
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
	log.Warn("no cache of compiled modules: this version of wazero takes none")
	return c
}
