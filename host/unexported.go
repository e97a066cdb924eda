package host

import (
	"reflect"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
)

// This file accesses unexported fields of wazero. If a version of wazero has other fields, machineCode and dropBodies do nothing
// and return 0.

// machineCode returns the size in bytes of the machine code of an instance's module.
func machineCode(m api.Module) int64 {
	v := reflect.ValueOf(m)
	for _, name := range []string{"Engine", "parent", "executable"} {
		for v.Kind() == reflect.Interface || v.Kind() == reflect.Pointer {
			v = v.Elem()
		}
		if v.Kind() != reflect.Struct {
			return 0
		}
		v = v.FieldByName(name)
	}
	if v.Kind() != reflect.Slice {
		return 0
	}
	return int64(v.Len())
}

// dropBodies frees the WebAssembly code of a compiled module, and returns its size in bytes. wazero keeps it as long as the
// module, and does not use it after it has made machine code. A Go program has 2 MB of it.
func dropBodies(compiled wazero.CompiledModule) (size int64) {
	v := reflect.ValueOf(compiled)
	for _, name := range []string{"module", "CodeSection"} {
		if v = reflect.Indirect(v); v.Kind() != reflect.Struct {
			return 0
		}
		v = v.FieldByName(name)
	}
	if v.Kind() != reflect.Slice || v.Type().Elem().Kind() != reflect.Struct {
		return 0
	}
	field, ok := v.Type().Elem().FieldByName("Body")
	if !ok || field.Type != reflect.TypeFor[[]byte]() {
		return 0
	}
	for i := range v.Len() {
		body := (*[]byte)(v.Index(i).FieldByIndex(field.Index).Addr().UnsafePointer())
		size += int64(len(*body))
		*body = nil
	}
	return size
}
